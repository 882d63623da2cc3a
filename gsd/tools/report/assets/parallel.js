"use strict";
// Parallel coordinates from the settings to a metric, and how much of the metric each setting explains.

(() => {
  const metrics = [...data.metrics, ...data.costs];
  const done = runs.map((_, k) => k).filter((k) => runs[k].status === "done");
  if (!data.settings.length || !metrics.length || done.length < 2) return hide("parallel");
  const MOST = 1500; // lines that still tell something
  const WIDTH = 920, HEIGHT = 330, TOP = 34, BOTTOM = 16, RIGHT = 70, LETTER = 6.6, LETTERS = 22;
  let metric = metrics[0];
  const worth = (run) => inUnit(metric, runs[run].metrics[metric] ?? runs[run].cost[metric]) ?? undefined;

  // Of an axis: where a run lies on it, and what is written along it.
  function axisOf(name, value, shown, numeric = false) {
    const values = shown.map(value), known = values.filter((v) => v !== undefined);
    if (numeric || (known.every((v) => typeof v === "number") && new Set(known).size > 6)) {
      const [low, high] = range(known), y = scale(low, high, HEIGHT - BOTTOM, TOP);
      return { name, y: (run) => (value(run) === undefined ? null : y(value(run))), marks: ticks(low, high).map((v) => [tick(v), y(v)]) };
    }
    const levels = [...new Set(values.map(setting))].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).reverse();
    const y = (k) => (levels.length === 1 ? HEIGHT / 2 : scale(0, levels.length - 1, HEIGHT - BOTTOM - 14, TOP + 14)(k));
    const spread = Math.min(18, 90 / levels.length); // runs of one level lie side by side
    const place = new Map(shown.map((run, k) => [run, ((k % 9) / 8 - 0.5) * spread]));
    return { name, y: (run) => y(levels.indexOf(setting(value(run)))) + place.get(run), marks: levels.map((level, k) => [level, y(k)]) };
  }

  const STOPS = [[122, 66, 170], [64, 110, 180], [33, 150, 140], [94, 185, 80], [222, 180, 30]]; // as viridis, but seen on white and on black
  function shade(share) {
    const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1), k = Math.min(Math.floor(at), STOPS.length - 2);
    return `rgb(${STOPS[k].map((c, i) => Math.round(c + (STOPS[k + 1][i] - c) * (at - k))).join(" ")})`;
  }

  function draw() {
    const known = done.filter((run) => worth(run) !== undefined);
    const shown = known.filter((_, k) => k % Math.ceil(known.length / MOST) === 0);
    const axes = [...data.settings.map((key) => axisOf(key, (run) => runs[run].settings[key], shown)), axisOf(title(metric), worth, shown, true)];
    const left = 16 + LETTER * Math.min(LETTERS, Math.max(...axes[0].marks.map(([text]) => text.length)));
    const x = (k) => left + (k * (WIDTH - left - RIGHT)) / (axes.length - 1);
    const [low, high] = range(shown.map(worth));
    const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "parallel-plot", style: `--faint:${Math.max(0.12, Math.min(0.7, 80 / shown.length))}` });
    for (const run of shown) {
      const points = axes.map((axis, k) => [x(k), axis.y(run)]).filter(([, y]) => y !== null);
      const bends = points.slice(1).map(([px, py], k) => {
        const [qx, qy] = points[k], middle = (px + qx) / 2;
        return `C${middle} ${qy} ${middle} ${py} ${px} ${py}`;
      });
      const line = svg("path", { d: `M${points[0].join(" ")}${bends.join("")}`, stroke: shade((worth(run) - low) / (high - low)) });
      line.append(svg("title", {}, `${runs[run].label}\n${title(metric)} ${number(worth(run))}`));
      plot.append(line);
    }
    axes.forEach((axis, k) => {
      plot.append(svg("line", { class: "rule", x1: x(k), x2: x(k), y1: TOP, y2: HEIGHT - BOTTOM }));
      const anchor = k === 0 ? "start" : k === axes.length - 1 ? "end" : "middle";
      plot.append(svg("text", { class: "axis", x: k === 0 ? 4 : k === axes.length - 1 ? WIDTH - 4 : x(k), y: 16, "text-anchor": anchor }, axis.name));
      const side = k === axes.length - 1 ? 8 : -8;
      for (const [text, y] of axis.marks) plot.append(svg("text", { class: "mark", x: x(k) + side, y: y + 4, "text-anchor": side > 0 ? "start" : "end" }, text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text));
    });
    showPlot("parallel", plot);
    drawShares();
    note("parallel", `Each line is a finished run${shown.length < known.length ? ` (${number(shown.length)} of ${number(known.length)})` : ""}, coloured by ${label(metric)}; point at one to see which. Shares: one setting at a time, the others pooled; epsilon squared, which subtracts what chance alone would give. A finding has to be larger than the seed's share.`);
  }

  function drawShares() {
    const shares = Object.entries(data.importance[metric] ?? {}).sort((a, b) => b[1] - a[1]);
    part("parallel", "h3").textContent = shares.length ? `Share of the variance of ${label(metric)} that each setting explains` : "";
    const rows = shares.flatMap(([key, share]) => [
      el("span", {}, key),
      el("span", { class: "track" }, el("span", { class: "bar", style: `width:${(100 * share).toFixed(1)}%` })),
      el("span", { class: "number" }, `${Math.round(100 * share)} %`),
    ]);
    part("parallel", ".bars").replaceChildren(...rows);
  }

  part("parallel", ".controls").append(select("metric ", metrics.map((name) => [name, title(name)]), (name) => ((metric = name), draw())));
  draw();
})();
