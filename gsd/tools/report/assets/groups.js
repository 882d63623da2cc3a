"use strict";
// All numbers of each group, and what the groups cost.

(() => {
  const names = data.metrics.filter((name) => !data.nominal.includes(name));
  if (!names.length && !data.costs.length) return hide("groups"), hide("cost");

  function table(groups, columns) {
    const shown = columns.map((name) => textOf(name, groups.flatMap((group) => (group.estimates[name] ?? []).slice(0, 3))));
    const heads = [el("th", {}, "group"), el("th", { class: "number" }, "runs"), ...columns.map((name) => el("th", { class: "number", title: name }, title(name)))];
    const rows = groups.map((group, k) => {
      const cells = columns.map((name, column) => {
        const [value, low, high, count] = group.estimates[name] ?? [null, null, null, 0];
        const spread = low === null ? "" : `[${shown[column](low)}, ${shown[column](high)}]`;
        const fewer = count < group.done ? `${number(count)} of ${number(group.done)} runs` : ""; // not every run that is done has the number
        return el("td", { class: "number" }, shown[column](value), el("small", {}, [spread, fewer].filter(Boolean).join(", ")));
      });
      return el("tr", {}, el("td", { class: group.label.length > 30 ? "long" : "" }, swatch(k), group.label), el("td", { class: "number" }, number(group.done), el("small", {}, group.done < group.runs.length ? `of ${number(group.runs.length)}` : "")), ...cells);
    });
    return [el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)];
  }

  function draw() {
    const groups = grouping.get().groups.slice(0, 500);
    part("groups", "table").replaceChildren(...table(groups, names));
    part("cost", "table").replaceChildren(...table(groups, data.costs));
    for (const [k, name] of data.costs.entries()) {
      const most = Math.max(...groups.map((group) => group.estimates[name]?.[0] ?? 0)) || 1;
      part("cost", "tbody").querySelectorAll("tr").forEach((row, i) => {
        const share = (groups[i].estimates[name]?.[0] ?? 0) / most;
        row.children[k + 2].append(el("span", { class: "bar", style: `width:${(100 * share).toFixed(1)}%;background:${colour(i)}` }));
      });
    }
  }

  part("groups", ".controls").append(groupMenu());
  part("cost", ".controls").append(groupMenu());
  follow([grouping], draw);
  note("groups", "Every number of the finished runs, as in the table of results: means with 95 % intervals from three runs on. Point at a head for the number's key in summary.json.");
  note("cost", "Means over the finished runs with 95 % intervals; the table of runs has the numbers of each run. Time is that of optimisation, without the final renders; memory is the peak of the process.");
})();
