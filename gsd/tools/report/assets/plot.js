"use strict";
// Axes, lines and bands as SVG.

// Round values that divide [low, high] into about `count` parts.
function ticks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((s) => s * power >= raw) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

const tick = (x) => (Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3) ? x.toExponential() : String(x)).replace("-", "−");

const scale = (low, high, from, to) => (x) => from + ((x - low) / (high - low || 1)) * (to - from);

// The least and greatest, with a margin; never empty.
function range(values, margin = 0) {
  const known = values.filter((v) => v !== null && v !== undefined);
  if (!known.length) return [0, 1];
  let low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const extra = (high - low) * margin;
  return [low - extra, high + extra];
}

// "M x y L ..." through the points, broken where one is not known.
function path(xs, ys, x, y) {
  let text = "", down = false;
  xs.forEach((at, k) => {
    const known = at !== null && ys[k] !== null && ys[k] !== undefined;
    if (known) text += `${down ? "L" : "M"}${x(at).toFixed(1)} ${y(ys[k]).toFixed(1)}`;
    down = known;
  });
  return text;
}

// A line plot. lines: {name, x, y, low?, high?, colour, dash, marks}. The window holds the lines and their intervals.
// `log`: the y axis is logarithmic, what is not above 0 is left out.
function linePlot({ lines, xTitle, yTitle, log = false, width = room.get(), height = Math.round(120 + 0.28 * width) }) {
  const edge = { left: 68, right: 14, top: 12, bottom: 42 };
  const bend = log ? (v) => (v > 0 ? Math.log10(v) : null) : (v) => v;
  const bent = lines.map((line) => ({ ...line, y: line.y.map(bend), low: line.low?.map(bend), high: line.high?.map(bend) }));
  const [x0, x1] = range(bent.flatMap((line) => line.x));
  const [y0, y1] = range(bent.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])]), 0.06);
  const x = scale(x0, x1, edge.left, width - edge.right), y = scale(y0, y1, height - edge.bottom, edge.top);
  const label = log ? (v) => tick(Number((10 ** v).toPrecision(2))) : tick;
  const inner = { x: edge.left, y: edge.top, width: width - edge.left - edge.right, height: height - edge.top - edge.bottom };
  const clip = `clip${(linePlot.count = (linePlot.count ?? 0) + 1)}`;
  const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "line-plot" }, svg("clipPath", { id: clip }, svg("rect", inner)));
  for (const v of ticks(y0, y1)) {
    plot.append(svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(v), y2: y(v) }));
    plot.append(svg("text", { x: edge.left - 8, y: y(v) + 4, "text-anchor": "end" }, label(v)));
  }
  for (const v of ticks(x0, x1, Math.min(8, width / 80))) plot.append(svg("text", { x: x(v), y: height - edge.bottom + 18, "text-anchor": "middle" }, tick(v)));
  plot.append(svg("text", { class: "axis", x: edge.left + inner.width / 2, y: height - 6, "text-anchor": "middle" }, xTitle));
  plot.append(svg("text", { class: "axis", transform: `translate(13 ${edge.top + inner.height / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle));
  const drawn = svg("g", { "clip-path": `url(#${clip})` });
  for (const line of bent.filter((each) => each.low)) {
    const known = line.x.map((_, k) => k).filter((k) => line.low[k] !== null && line.high[k] !== null);
    if (!known.length) continue;
    const there = path(known.map((k) => line.x[k]), known.map((k) => line.high[k]), x, y);
    const back = path(known.reverse().map((k) => line.x[k]), known.map((k) => line.low[k]), x, y);
    drawn.append(svg("path", { class: "band", d: `${there}L${back.slice(1)}Z`, fill: line.colour }));
  }
  for (const line of bent) {
    drawn.append(svg("path", { class: "line", d: path(line.x, line.y, x, y), stroke: line.colour, "stroke-dasharray": line.dash }));
  }
  plot.append(drawn);
  for (const line of bent.filter((each) => each.marks)) {
    line.x.forEach((at, k) => line.y[k] !== null && plot.append(svg("circle", { cx: x(at), cy: y(line.y[k]), r: 3, fill: line.colour })));
  }
  readOut(plot, lines, { x, x0, x1, inner, xTitle });
  return plot;
}

// What the lines say below the pointer.
function readOut(plot, lines, { x, inner, x0, x1, xTitle }) {
  const bar = svg("line", { class: "pointer", y1: inner.y, y2: inner.y + inner.height, visibility: "hidden" });
  const box = el("div", { class: "read-out", hidden: true });
  plot.append(bar);
  plot.addEventListener("pointermove", (event) => {
    const frame = plot.getBoundingClientRect();
    const at = x0 + (((event.clientX - frame.left) / frame.width) * plot.viewBox.baseVal.width - inner.x) / inner.width * (x1 - x0);
    if (at < x0 || at > x1) return leave();
    bar.setAttribute("x1", x(at)), bar.setAttribute("x2", x(at)), bar.setAttribute("visibility", "visible");
    const rows = lines.map((line) => {
      let best = 0;
      line.x.forEach((v, k) => v !== null && Math.abs(v - at) < Math.abs(line.x[best] - at) && (best = k));
      const y = line.y[best];
      const said = line.low ? interval([y, line.low[best], line.high[best]]) : number(y);
      return { y, row: el("div", {}, el("i", { class: "swatch", style: `background:${line.colour}` }), `${line.name}: ${said}`) };
    });
    rows.sort((a, b) => (b.y ?? -Infinity) - (a.y ?? -Infinity));
    box.replaceChildren(el("b", {}, `${xTitle} ${number(Number(at.toPrecision(3)))}`), ...rows.slice(0, 14).map((each) => each.row));
    box.hidden = false;
    const left = event.clientX - frame.left;
    box.style.left = left > frame.width / 2 ? "auto" : `${left + 14}px`;
    box.style.right = left > frame.width / 2 ? `${frame.width - left + 14}px` : "auto";
  });
  const leave = () => ((box.hidden = true), bar.setAttribute("visibility", "hidden"));
  plot.addEventListener("pointerleave", leave);
  plot.readOut = box; // placed beside the plot by whoever shows it
}

function showPlot(section, plot) {
  part(section, ".plot").replaceChildren(plot, ...(plot.readOut ? [plot.readOut] : []));
}

// One row per group: its name and what is said of it above its axis, there a dot for the value, a bar for its interval
// and a faint dot for every run. The window holds all of them.
function intervalPlot({ entries, xTitle, text, width = room.get() }) {
  const side = 14, bottom = 40, line = 44, height = entries.length * line + bottom;
  const [x0, x1] = range(entries.flatMap(({ estimate: [value, low, high], runs }) => [value, low, high, ...runs]), 0.03);
  const x = scale(x0, x1, side, width - side);
  const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "interval-plot" });
  for (const v of ticks(x0, x1, Math.min(7, width / 90))) {
    plot.append(svg("line", { class: "grid", x1: x(v), x2: x(v), y1: 4, y2: height - bottom }));
    plot.append(svg("text", { x: x(v), y: height - bottom + 16, "text-anchor": "middle" }, tick(v)));
  }
  entries.forEach(({ name, said, estimate: [value, low, high], runs, colour }, k) => {
    const y = (k + 1) * line - 14;
    const letters = Math.floor((width - 2 * side) / 6.6) - said.length - 2;
    plot.append(svg("text", { class: "who", x: side, y: y - 13 }, svg("title", {}, name), name.length > letters ? `${name.slice(0, letters - 1)}…` : name));
    plot.append(svg("text", { class: "said", x: width - side, y: y - 13, "text-anchor": "end" }, said));
    const mark = svg("g", { fill: colour, stroke: colour }, svg("title", {}, `${name}: ${interval([value, low, high], text)}`));
    for (const v of runs) mark.append(svg("circle", { class: "run", cx: x(v), cy: y, r: 3.5 }));
    if (low !== null) {
      mark.append(svg("line", { x1: x(low), x2: x(high), y1: y, y2: y, "stroke-width": 2 }));
      for (const v of [low, high]) mark.append(svg("line", { x1: x(v), x2: x(v), y1: y - 5, y2: y + 5, "stroke-width": 2 }));
    }
    mark.append(svg("circle", { cx: x(value), cy: y, r: 4.5 }));
    plot.append(mark);
  });
  plot.append(svg("text", { class: "axis", x: width / 2, y: height - 6, "text-anchor": "middle" }, xTitle));
  return plot;
}
