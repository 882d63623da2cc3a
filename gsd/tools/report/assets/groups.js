"use strict";
// Means over the runs of a group with their intervals, and what the groups cost.

(() => {
  const names = [...data.metrics.filter((name) => !data.nominal.includes(name)), ...data.costs];
  if (!names.length) return hide("groups"), hide("cost");
  let metric = names[0];
  const kind = (name) => (data.verdicts.includes(name) ? "share of runs" : "mean");

  function table(groups, columns) {
    const shown = columns.map((name) => numbersLike(groups.flatMap((group) => (group.estimates[name] ?? []).slice(0, 3))));
    const heads = ["group", "n", ...columns.map((name) => `${title(name)}`)].map((text, k) => el("th", { class: k ? "number" : "" }, text));
    const rows = groups.map((group, k) => {
      const cells = columns.map((name, column) => {
        const [value, low, high] = group.estimates[name] ?? [null, null, null];
        const spread = low === null ? "" : `[${shown[column](low)}, ${shown[column](high)}]`;
        return el("td", { class: "number" }, shown[column](value), el("small", {}, spread));
      });
      return el("tr", {}, el("td", { class: group.label.length > 30 ? "long" : "" }, swatch(k), group.label), el("td", { class: "number" }, number(group.done), el("small", {}, group.done < group.runs.length ? `of ${number(group.runs.length)}` : "")), ...cells);
    });
    return [el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)];
  }

  function draw() {
    const groups = grouping.get().groups;
    const entries = groups.map((group, k) => ({ name: `${group.label} (${group.done})`, estimate: group.estimates[metric], colour: colour(k) })).filter((each) => each.estimate);
    const plot = entries.length && entries.length <= 60 ? intervalPlot({ entries, xTitle: `${title(metric)}, ${kind(metric)}` }) : el("p", { class: "muted" }, entries.length ? "More than 60 groups: see the table." : "No run of these groups is done.");
    showPlot("groups", plot);
    part("groups", "table").replaceChildren(...table(groups.slice(0, 500), names.filter((name) => data.metrics.includes(name))));
    drawCost(groups);
  }

  function drawCost(groups) {
    part("cost", "table").replaceChildren(...table(groups.slice(0, 500), data.costs));
    for (const [k, name] of data.costs.entries()) {
      const most = Math.max(...groups.map((group) => group.estimates[name]?.[0] ?? 0)) || 1;
      part("cost", "tbody").querySelectorAll("tr").forEach((row, i) => {
        const share = (groups[i].estimates[name]?.[0] ?? 0) / most;
        row.children[k + 2].append(el("span", { class: "bar", style: `width:${(100 * share).toFixed(1)}%;background:${colour(i)}` }));
      });
    }
  }

  part("groups", ".controls").append(groupMenu(), select("metric ", names.map((name) => [name, title(name)]), (name) => ((metric = name), draw())));
  part("cost", ".controls").append(groupMenu());
  follow([grouping], draw);
  note("groups", "n: finished runs. Means have Student's 95 % interval, which a single run lacks; shares of yes-or-no metrics have Wilson's. With several prompts, the mean is that of the prompts' means and the interval is over prompts, since runs of one prompt resemble each other. Intervals longer than the plot leave it. Other settings that are pooled count as further draws.");
  note("cost", "Means over the finished runs with 95 % intervals; the table of runs has the numbers of each run. Seconds are those of optimisation, without the final renders; memory is the peak of the process.");
})();
