"use strict";
// The table that answers the question of the sweep: one row per group, seeds pooled, the best of each column in bold;
// the answer in a sentence; each group's runs, mean and interval in one number as a plot.

(() => {
  const columns = data.headline;
  if (!columns.length) return hide("result");
  let metric = columns.find((name) => data.groupings[data.grouping].compared[name]) ?? columns.find((name) => quantity(name).unit !== "%") ?? columns[0];
  const group = (name, k) => grouping.get().groups[k].estimates[name] ?? [null, null, null, 0];
  const valuesOf = ({ runs: members }, name) => members.map((k) => runs[k].metrics[name] ?? runs[k].cost[name]).filter((v) => v !== undefined);
  const texts = new Map(columns.map((name) => [name, textOf(name, runs.map((run) => run.metrics[name] ?? run.cost[name]))]));

  // Nothing has no fog and no second face: a group of which most runs are empty is not the best.
  const mostlyEmpty = (k) => group("empty", k)[0] > 0.5;

  // Which groups have the best value of a column, as it is written; none where all are alike, or where only one group
  // shows anything and nothing would be better.
  function best(name) {
    const { better } = quantity(name), text = texts.get(name);
    const places = grouping.get().groups.map((_, k) => k).filter((k) => group(name, k)[0] !== null);
    const showing = places.filter((k) => !mostlyEmpty(k));
    const bestOf = (some) => text((better === "higher" ? Math.max : Math.min)(...some.map((k) => group(name, k)[0])));
    if (!better || !showing.length || new Set(places.map((k) => text(group(name, k)[0]))).size < 2) return () => false;
    const goal = bestOf(showing);
    if (showing.length === 1 && bestOf(places) !== goal) return () => false;
    return (k) => !mostlyEmpty(k) && text(group(name, k)[0]) === goal;
  }

  // Below the value: its interval, or the two values that have none.
  function spread(each, name, [, low, high]) {
    if (low !== null) return `[${texts.get(name)(low)}, ${texts.get(name)(high)}]`;
    const values = valuesOf(each, name);
    return values.length === 2 ? values.map(texts.get(name)).join(" and ") : "";
  }

  function prompts({ runs: members }) {
    const count = new Set(members.map((k) => runs[k].config.prompt ?? data.config.prompt)).size;
    return count > 1 ? plural(count, "prompt") : "";
  }

  function table() {
    const { keys, groups } = grouping.get(), isBest = new Map(columns.map((name) => [name, best(name)]));
    const settings = keys.length ? keys : [""];
    const heads = [
      ...settings.map((key) => el("th", {}, key)),
      el("th", { class: "number", title: "finished runs" }, "runs"),
      ...columns.map((name) => el("th", { class: "number", title: name }, title(name))),
    ];
    const rows = groups.slice(0, MOST).map((each, k) => {
      const of = runs[each.runs[0]].settings;
      const names = keys.length ? keys.map((key) => setting(of[key])) : [each.label];
      const cells = columns.map((name) => {
        const estimate = group(name, k), value = texts.get(name)(estimate[0]);
        const fewer = estimate[3] < each.done ? `${number(estimate[3])} of ${number(each.done)} runs` : ""; // not every run that is done has the number
        return el("td", { class: "number", "data-metric": name }, el(isBest.get(name)(k) ? "b" : "span", {}, value), el("small", {}, [spread(each, name, estimate), fewer].filter(Boolean).join(", ")));
      });
      const some = [each.done < each.runs.length ? `of ${number(each.runs.length)}` : "", prompts(each)].filter(Boolean).join(", ");
      return el("tr", {}, ...names.map((name, i) => el("th", { class: name.length > 30 ? "long" : "" }, i ? null : swatch(k), name)), el("td", { class: "number" }, number(each.done), el("small", {}, some)), ...cells);
    });
    return [el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)];
  }

  // The difference of a group to the best in the chosen number: positive where it is worse.
  function worse(k) {
    const compared = grouping.get().compared[metric], found = compared?.differences[k];
    if (!found || k === compared.best) return null;
    const [value, low, high, pairs] = found;
    if (quantity(metric).better === "lower") return { value, low, high, pairs };
    return { value: -value, low: low === null ? null : -high, high: high === null ? null : -low, pairs };
  }

  // A difference has a digit more than the numbers have. Shares differ by points: "10 % worse" would be 10 % of them.
  function finer(x) {
    const { factor, decimals } = quantity(metric);
    if (!known(metric)) return number(x);
    const text = (factor * x).toFixed(decimals + 1);
    return (isShare() ? String(Number(text)) : text).replace("-", "−");
  }
  const isShare = () => quantity(metric).unit === "%";
  const unit = () => (quantity(metric).unit ? ` ${quantity(metric).unit}` : "");
  const difference = (text) => (isShare() ? `${text} ${text === "1" ? "point" : "points"}` : `${text}${unit()}`);

  function answer() {
    const compared = grouping.get().compared[metric], { groups } = grouping.get();
    if (!compared) return "";
    const sign = quantity(metric).better === "higher" ? 1 : -1;
    const others = groups.map((_, k) => k).filter((k) => k !== compared.best && group(metric, k)[0] !== null);
    const order = (i, j) => mostlyEmpty(i) - mostlyEmpty(j) || sign * (group(metric, j)[0] - group(metric, i)[0]);
    const next = others.sort(order)[0];
    const first = `Best in ${label(metric)}: ${groups[compared.best].label}, ${texts.get(metric)(group(metric, compared.best)[0])}${unit()}.`;
    const gap = worse(next);
    if (!gap) return `${first} No other group has a run with the same seed to compare it with.`;
    const far = `${first} Next is ${groups[next].label}: ${difference(finer(Math.abs(gap.value)))} ${gap.value < 0 ? "better" : "worse"} in ${gap.pairs === 1 ? "one pair of runs" : `the mean of ${number(gap.pairs)} pairs of runs`} that differ in nothing else`;
    if (gap.low === null) return `${far}. Those are too few pairs, or prompts, to say how sure that is.`;
    const range = `${far}, 95 % interval ${difference(`[${finer(gap.low)}, ${finer(gap.high)}]`)}`;
    return gap.low > 0 || gap.high < 0 ? `${range}. The interval leaves out 0, so these runs tell the two apart.` : `${range}. The interval contains 0, so these runs do not tell the two apart.`;
  }

  function said(k) {
    if (mostlyEmpty(k)) return "mostly empty";
    const gap = worse(k), compared = grouping.get().compared[metric];
    if (compared?.best === k) return "best";
    return gap ? `${interval([gap.value, gap.low, gap.high], finer)} worse` : "";
  }

  function plot() {
    const { groups } = grouping.get();
    const scaled = (v) => inUnit(metric, v);
    const entries = groups
      .map((each, k) => ({ name: `${each.label} (${each.done})`, said: room.get() > 600 ? said(k) : "", estimate: group(metric, k).slice(0, 3).map(scaled), runs: valuesOf(each, metric).map(scaled), colour: colour(k) }))
      .filter((each) => each.estimate[0] !== null);
    if (!entries.length) return el("p", { class: "muted" }, "No run of these groups is done.");
    if (entries.length > PLOTTED) return el("p", { class: "muted" }, `More than ${PLOTTED} groups: see the table.`);
    return intervalPlot({ entries, xTitle: title(metric), text: number });
  }

  function draw() {
    part("result", "table").replaceChildren(...table());
    part("result", ".answer").textContent = answer();
    if (plotted) showPlot("result", plot());
  }

  const MOST = 500, PLOTTED = 60;
  const plotted = runs.filter((run) => run.status === "done").length > 1;
  if (data.groupings.length > 1) part("result", ".controls").append(groupMenu());
  if (plotted) {
    const menu = select("show ", columns.map((name) => [name, title(name)]), (name) => ((metric = name), draw()));
    menu.querySelector("select").value = metric;
    part("result", ".measure").append(menu);
  }
  const arrows = "↑ higher is better, ↓ lower is better";
  const words = "the best of a column is bold. Means over seeds with 95 % intervals (Student's; Wilson's for shares), cut to the values that are possible. An interval needs three runs; of two, both values are shown. With several prompts, means and intervals are over the prompts, and three of them are needed. Every run is coherent (one front, views where they belong), Janus (more fronts), turned (views elsewhere) or empty. In the plot: every run, mean and interval; at the right, how much worse than the best, paired by what the runs share. The best was chosen on these same runs, which flatters it a little. A group of which most runs are empty is never the best.";
  note("result", plotted ? `${arrows}; ${words}` : `${arrows}.`);
  follow([grouping, room], draw);
})();
