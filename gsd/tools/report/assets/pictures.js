"use strict";
// Pictures by step and run; noise.

// A tile of a strip (rows: views, columns: rgb, depth, noise, gradient), or a whole picture; decoded when it comes in
// sight.
function tile([, name, rows], column, whole) {
  if (column === null) {
    const image = el("img", { class: whole, alt: "" });
    whenSeen(image, () => (image.src = address(name, "image/jpeg")));
    return image;
  }
  const box = el("div", { class: "tile", style: `background-size:400% ${100 * rows}%;background-position:${(column * 100) / 3}% 0` });
  whenSeen(box, () => (box.style.backgroundImage = `url(${address(name, "image/jpeg")})`));
  return box;
}

(() => {
  const PARTS = [["rgb", 0], ["depth", 1], ["noise", 2], ["gradient", 3], ["whole strip", null]];
  const kinds = [
    ...(runs.some((run) => run.strips?.length) ? PARTS.map(([text]) => text) : []),
    ...(runs.some((run) => run.frames?.length) ? ["frames"] : []),
  ];
  if (!kinds.length) return hide("pictures");
  let kind = kinds.includes("frames") ? "frames" : kinds[0];

  function draw() {
    const source = kind === "frames" ? "frames" : "strips";
    const column = kind === "frames" ? null : new Map(PARTS).get(kind);
    const shown = chosen.get().filter((run) => runs[run][source]?.length);
    const steps = [...new Set(shown.flatMap((run) => runs[run][source].map(([step]) => step)))].sort((a, b) => a - b);
    const head = el("tr", {}, el("th", {}, "run"), ...steps.map((step) => el("th", {}, `step ${number(step)}`)));
    const rows = shown.map((run) => {
      const at = new Map(runs[run][source].map((picture) => [picture[0], picture]));
      return el("tr", {}, el("th", {}, swatch(groupOf(run)), runs[run].label), ...steps.map((step) => el("td", {}, at.has(step) ? tile(at.get(step), column, kind === "frames" ? "frame" : "whole") : null)));
    });
    part("pictures", ".scroll").replaceChildren(el("table", { class: "grid" }, el("thead", {}, head), el("tbody", {}, ...rows)));
    const without = chosen.get().length - shown.length;
    note("pictures", `${plural(shown.length, "run")}: those chosen in the table of runs${without ? `; ${number(without)} of them ${without === 1 ? "has" : "have"} no such pictures in this page` : ""}. Of several views the first is shown; the whole strip shows all.`);
  }

  const menu = select("show ", kinds.map((name) => [name, name]), (value) => ((kind = value), draw()));
  menu.querySelector("select").value = kind;
  part("pictures", ".controls").append(menu);
  follow([chosen, grouping], draw);
})();

(() => {
  const quantities = [...new Set(runs.flatMap((run) => (run.curves ?? []).flatMap((curve) => Object.keys(curve.y))))].filter((name) => name.startsWith("noise/"));
  if (!quantities.length) return hide("noise");

  function over(run, name) {
    const known = (runs[run].curves ?? []).flatMap((curve) => curve.y[name] ?? []).filter((v) => v !== null);
    if (!known.length) return [null, null, null, null];
    const mean = known.reduce((a, b) => a + b, 0) / known.length;
    const spread = Math.sqrt(known.reduce((a, b) => a + (b - mean) ** 2, 0) / known.length);
    return [mean, spread, Math.min(...known), Math.max(...known)];
  }

  function draw() {
    const shown = chosen.get().filter((run) => runs[run].curves);
    const heads = ["run", ...quantities.flatMap((name) => [`${name}, mean`, "s.d.", "smallest", "largest"])];
    const rows = shown.map((run) => el("tr", {}, el("td", {}, swatch(groupOf(run)), runs[run].label), ...quantities.flatMap((name) => over(run, name)).map((v) => el("td", { class: "number" }, number(v)))));
    part("noise", "table").replaceChildren(el("thead", {}, el("tr", {}, ...heads.map((text, k) => el("th", { class: k ? "number" : "" }, text)))), el("tbody", {}, ...rows));
    const figures = chosen.get().filter((run) => runs[run].noise).map((run) => {
      const [step, name] = runs[run].noise, image = el("img", { alt: "noise" });
      whenSeen(image, () => (image.src = address(name, "image/png")));
      return el("figure", {}, image, el("figcaption", {}, swatch(groupOf(run)), `${runs[run].label}, step ${number(step)}`));
    });
    part("noise", ".tiles").replaceChildren(...figures);
  }

  follow([chosen, grouping], draw);
  note("noise", "The noise of the last strip of each chosen run, one square per view: grey is 0, black and white are -3 and +3 standard deviations. Below, its statistics over training (means over a hundredth of the run, so single steps spread more). Independent maps differ between views, consistent ones move with the surface. gsd noising-check tests whether a noising has the properties that it claims.");
})();
