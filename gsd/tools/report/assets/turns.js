"use strict";
// What a metric says of each view of the turntable, by azimuth: the curves of the paper's Fig. 12.

(() => {
  if (!turned.length) return hide("turns");
  let only = "", single = data.groupings[0].groups.every((group) => group.done < 3);
  const dashOf = (name) => DASHES[turned.indexOf(name) % DASHES.length];
  const degrees = (values) => values.map((_, k) => (k * 360) / values.length);

  // Of a name: a line for each group, or for each run.
  function lines(name) {
    if (single) {
      return runs.flatMap((run, k) => (run.turns?.[name] ? [{ name: `${run.label}, ${name}`, group: groupOf(k), x: degrees(run.turns[name]), y: run.turns[name] }] : []));
    }
    return grouping.get().groups.flatMap((group, k) => {
      const band = group.bands[name];
      if (!band) return [];
      const [y, low, high] = band.y;
      return [{ name: `${group.label} (${group.done}), ${name}`, group: k, x: band.x.azimuth, y, low, high }];
    });
  }

  function draw() {
    const shown = (only ? [only] : turned).flatMap((name) => lines(name).map((line) => ({ ...line, colour: colour(line.group), dash: dashOf(name) })));
    if (shown.length > FEW || !only) shown.forEach((line) => delete line.low); // bands of different names would hide each other
    showPlot("turns", linePlot({ lines: shown, xTitle: "azimuth, degrees", yTitle: only || "value of the view" }));
    const groups = grouping.get().groups.slice(0, 100).map((group, k) => el("span", {}, swatch(k), group.label));
    const dashes = turned.map((name) => el("span", {}, svg("svg", { class: "dash", viewBox: "0 0 34 8" }, svg("line", { x1: 0, x2: 34, y1: 4, y2: 4, "stroke-dasharray": dashOf(name) })), name));
    part("turns", ".legend").replaceChildren(...(only ? groups : [...groups, ...dashes]));
  }

  const set = (change) => (value) => (change(value), draw());
  const showMenu = select("show ", [["", "mean and interval"], ["1", "each run"]], set((value) => (single = value === "1")));
  showMenu.querySelector("select").value = single ? "1" : "";
  part("turns", ".controls").append(select("metric ", [["", "all"], ...turned.map((name) => [name, name])], set((value) => (only = value))), groupMenu(), showMenu);
  follow([grouping, room], draw);
  note("turns", "0° is the front the run was asked for. One colour per group, one dash pattern per metric. If one metric is chosen, 95 % intervals of the mean over the finished runs of a group are drawn.");
})();
