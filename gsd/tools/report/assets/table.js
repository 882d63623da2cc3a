"use strict";
// The head of the page and the table of runs, whose ticks choose what the other parts show.

(() => {
  const kinds = {
    done: (run) => run.status === "done",
    failed: (run) => run.status === "failed" && !run.refused,
    refused: (run) => run.refused,
    unfinished: (run) => run.status === "unfinished",
  };
  const count = (kind) => runs.filter(kinds[kind]).length;
  const classes = { refused: "failed" };
  const states = Object.keys(kinds).filter(count).map((kind) => el("span", { class: `status ${classes[kind] ?? kind}` }, el("b", {}, `${number(count(kind))} ${kind}`)));
  const done = runs.filter(kinds.done), empty = done.filter((run) => run.metrics.empty > 0.5).length, numberless = done.filter((run) => run.numberless.length).length;
  const hollow = [empty ? `${number(empty)} done but empty` : null, numberless ? `${number(numberless)} done without a number` : null];
  const swept = data.settings.map((key) => {
    const values = [...new Set(runs.map((run) => setting(run.settings[key])))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    return `${key}: ${values.slice(0, 5).join(", ")}${values.length > 5 ? ` and ${number(values.length - 5)} more` : ""}`;
  });
  document.querySelector("h1").textContent = data.title;
  document.querySelector(".swept").textContent = [data.config.prompt, ...swept].filter(Boolean).join(" · ");
  const commits = [...new Set(data.origins.map((origin) => origin.commit).filter((commit) => commit && commit !== "null"))];
  const facts = [...hollow, commits.length ? `commit ${commits.join(", ")}` : null, `gsd ${data.version}`, data.made];
  const counts = states.flatMap((state, k) => (k ? [", ", state] : [state]));
  document.querySelector(".facts").append(`${plural(runs.length, "run")}: `, ...(counts.length ? counts : ["none"]), ...facts.filter(Boolean).map((fact) => ` · ${fact}`));
  if (data.left_out.length) {
    const list = el("ul", {}, ...data.left_out.slice(0, 200).map((sentence) => el("li", {}, sentence)));
    document.querySelector(".facts").after(el("details", { class: "left-out" }, el("summary", {}, `${plural(data.left_out.length, "thing")} could not be read and ${data.left_out.length === 1 ? "is" : "are"} left out`), list));
  }
})();

(() => {
  const PAGE = 200; // rows at first: thousands take seconds to lay out
  const outcomes = ["coherent", "janus", "turned", "empty"]; // which a column of its own says
  const metrics = data.metrics.filter((key) => !outcomes.includes(key) || !data.headline.includes("coherent"));
  const columns = [
    { title: "status", value: (run) => run.status },
    ...data.settings.map((key) => ({ title: key, kind: "setting", value: (run) => run.settings[key] })),
    ...(runs.some((run) => run.verdict) ? [{ title: "outcome", kind: "setting", value: (run) => run.verdict || undefined }] : []),
    ...metrics.map((key) => ({ key, title: title(key), kind: "metric", value: (run) => run.metrics[key] })),
    ...data.costs.map((key) => ({ key, title: title(key), kind: "cost", value: (run) => run.cost[key] })),
    { title: "run", value: (run) => run.name },
  ];
  const numeric = columns.map(({ value }) => runs.every((run) => ["undefined", "number"].includes(typeof value(run))));
  const shown = columns.map(({ key, kind, value }) => (kind === "setting" ? setting : textOf(key ?? "", runs.map(value))));
  let order = { column: -1, down: false }, filter = "", limit = PAGE;

  function sorted() {
    const found = runs.map((_, k) => k).filter((k) => !filter || `${runs[k].label} ${runs[k].name} ${runs[k].status}`.toLowerCase().includes(filter));
    if (order.column < 0) return found;
    const { value } = columns[order.column], sign = order.down ? -1 : 1;
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : setting(a).localeCompare(setting(b), "en", { numeric: true }));
    return found.sort((i, j) => {
      const a = value(runs[i]) ?? null, b = value(runs[j]) ?? null;
      if (a === null || b === null) return (a === null) - (b === null) || i - j; // what is missing stays last
      return sign * compare(a, b) || i - j;
    });
  }

  // What paper has no room for.
  const further = ({ key }) => (key && !data.headline.includes(key) ? "further" : "");

  function tickBox(index) {
    const box = el("input", { type: "checkbox", "aria-label": `choose ${runs[index].label}`, change: () => chosen.set(toggled(index, box.checked)) });
    box.checked = chosen.get().includes(index);
    return box;
  }

  const toggled = (index, on) => [...chosen.get().filter((k) => k !== index), ...(on ? [index] : [])].sort((a, b) => a - b);

  function cell(run, column, k) {
    if (column.title === "status") {
      const long = run.reason.split("\n"), last = long[long.length - 1];
      const why = long.length > 1 ? el("details", {}, el("summary", {}, last), el("pre", {}, run.reason)) : last;
      return el("td", { class: `status ${run.status}` }, el("b", {}, run.status), run.reason ? el("div", {}, why) : null);
    }
    const value = column.value(run);
    if (!column.kind) return el("td", { class: "name" }, value);
    const text = shown[k](value);
    return el("td", { class: `${numeric[k] ? "number" : text.length > 30 ? "long" : ""} ${further(column)}` }, text);
  }

  function draw() {
    const found = sorted();
    const heads = columns.map((column, k) => {
      const sort = order.column === k ? (order.down ? "descending" : "ascending") : "none";
      const click = () => ((order = { column: k, down: order.column === k && !order.down }), draw());
      return el("th", { "aria-sort": sort, class: `${numeric[k] ? "number" : ""} ${further(column)}`, title: column.key }, el("button", { click }, column.title));
    });
    const rows = found.slice(0, limit).map((index) =>
      el("tr", { "data-run": index }, el("td", { class: "tick" }, tickBox(index), swatch(groupOf(index))), ...columns.map((column, k) => cell(runs[index], column, k))),
    );
    part("runs", "table").replaceChildren(el("thead", {}, el("tr", {}, el("th", {}, ""), ...heads)), el("tbody", {}, ...rows));
    const more = found.length > limit ? el("button", { click: () => ((limit = Infinity), draw()) }, `show all ${number(found.length)}`) : null;
    part("runs", ".note").replaceChildren(...["Settings are those in which the runs differ. A click on a head sorts. ", more].filter(Boolean));
  }

  const search = el("input", { type: "search", placeholder: "filter: noising=random", input: () => ((filter = search.value.toLowerCase()), draw()) });
  const withMedia = runs.map((_, k) => k).filter((k) => runs[k].strips || runs[k].turntable);
  const choices = [
    ["one of each group", () => data.chosen],
    ["first 12 shown", () => sorted().slice(0, 12).sort((a, b) => a - b)],
    ["none", () => []],
  ];
  const tally = el("span", { class: "muted" });
  part("runs", ".controls").append(search, "choose:", ...choices.map(([text, make]) => el("button", { click: () => (chosen.set(make()), draw()) }, text)), tally);
  follow([chosen], () => (tally.textContent = `${plural(chosen.get().length, "run")} chosen: turntables, pictures, noise and configs show them`));
  follow([grouping], draw);
  if (withMedia.length < runs.length && runs.length > data.limits.media) {
    part("runs", ".controls").after(el("p", { class: "muted" }, `Pictures, turntables and scenes of ${number(data.limits.media)} runs and curves of ${number(data.limits.curves)} are in this page, the first of each group before the second of any; tables and means cover all ${number(runs.length)}. To see the others, make a report of their folders.`));
  }
})();
