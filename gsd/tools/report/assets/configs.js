"use strict";
// The configs of the chosen runs beside each other.

(() => {
  let all = false;

  const value = (run, key) => runs[run].config[key] ?? data.config[key] ?? data.origins[runs[run].origin][key];

  function draw() {
    const shown = chosen.get();
    const keys = [...new Set([...Object.keys(data.config), ...shown.flatMap((run) => [...Object.keys(runs[run].config), ...Object.keys(data.origins[runs[run].origin])])])].sort();
    const texts = keys.map((key) => [key, shown.map((run) => setting(value(run, key)))]);
    const kept = texts.filter(([, each]) => all || new Set(each).size > 1);
    const heads = shown.map((run) => el("th", {}, swatch(groupOf(run)), runs[run].label));
    const rows = kept.map(([key, each]) => {
      const same = new Set(each).size === 1;
      return el("tr", { class: same ? "same" : "" }, el("th", {}, key), ...each.map((text) => el("td", {}, text)));
    });
    part("configs", "table").replaceChildren(el("thead", {}, el("tr", {}, el("th", {}, ""), ...heads)), el("tbody", {}, ...rows));
    note("configs", shown.length < 2 && !all ? "Choose two or more runs in the table, or show equal keys too." : `${plural(kept.length, "key")}${all ? "" : " in which the chosen runs differ"}.`);
  }

  part("configs", ".controls").append(checkbox("equal keys too", (on) => ((all = on), draw())));
  follow([chosen, grouping], draw);
})();
