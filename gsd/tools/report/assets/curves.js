"use strict";
// A quantity over the run: the mean of each group with its interval, or every run.

(() => {
  const each = runs.map((run, k) => [k, run.curves ?? []]).filter(([, curves]) => curves.length);
  const quantities = [...new Set([
    ...data.groupings[0].groups.flatMap((group) => Object.keys(group.bands)),
    ...each.flatMap(([, curves]) => curves.flatMap((curve) => Object.keys(curve.y))),
  ])].filter((name) => !turned.includes(name));
  if (!quantities.length) return hide("curves");
  const first = [/^evaluation\/psnr_aligned$/, /^evaluation\//, /^score\/gradient_rms$/, /./];
  const AXES = { step: "step", prior_calls: "prior calls", seconds: "seconds" };
  let quantity = first.map((like) => quantities.find((name) => like.test(name))).find(Boolean), axis = "step", log = false;
  let single = data.groupings[0].groups.every((group) => group.done < 3); // which have no interval
  const hidden = new Set();

  function lines() {
    const groups = grouping.get().groups;
    if (!single) {
      return groups.flatMap((group, k) => {
        const band = group.bands[quantity];
        if (!band) return [];
        const [y, low, high] = band.y.map((values) => values.map((v) => inUnit(quantity, v)));
        return [{ name: `${group.label} (${group.done})`, group: k, x: band.x[axis], y, low, high }];
      });
    }
    return each.flatMap(([run, curves]) =>
      curves.filter((curve) => curve.y[quantity]).map((curve) => ({ name: runs[run].label, group: groupOf(run), x: curve.x[axis], y: curve.y[quantity].map((v) => inUnit(quantity, v)) })),
    );
  }

  function draw() {
    const all = lines().filter((line) => line.x).map((line) => ({ ...line, colour: colour(line.group), dash: dash(line.group), marks: line.x.length < 30 }));
    const shown = all.filter((line) => !hidden.has(line.group));
    if (shown.length > FEW) shown.forEach((line) => delete line.low); // so many bands would hide each other
    if (shown.length) showPlot("curves", linePlot({ lines: shown, xTitle: AXES[axis], yTitle: title(quantity), log }));
    else part("curves", ".plot").replaceChildren(el("p", { class: "muted" }, all.length ? "Every group is hidden." : "No run that is done has this quantity; see each run."));
    const labels = grouping.get().groups.map((group, k) =>
      el("button", { "aria-pressed": String(!hidden.has(k)), click: () => (hidden.has(k) ? hidden.delete(k) : hidden.add(k), draw()) }, swatch(k), group.label),
    );
    part("curves", ".legend").replaceChildren(...labels.slice(0, 100));
  }

  const set = (change) => (value) => (change(value), draw());
  const quantityMenu = select("quantity ", quantities.map((name) => [name, title(name)]), set((value) => (quantity = value)));
  quantityMenu.querySelector("select").value = quantity;
  const showMenu = select("show ", [["", "mean and interval"], ["1", "each run"]], set((value) => (single = value === "1")));
  showMenu.querySelector("select").value = single ? "1" : "";
  part("curves", ".controls").append(
    quantityMenu,
    select("over ", Object.entries(AXES), set((value) => (axis = value))),
    groupMenu(),
    showMenu,
    checkbox("log", set((value) => (log = value))),
  );
  follow([grouping, room], () => (hidden.clear(), draw()));
  const most = Math.max(...data.groupings.map((each) => each.groups.length));
  const left = most > data.limits.bands ? ` Of more than ${number(data.limits.bands)} groups the first are drawn.` : "";
  note("curves", "Each point is a mean over a hundredth of the longest run. Bands are 95 % intervals of the mean over the finished runs of a group (over its prompts, if it has several), from three on. Click a group to hide it." + (most > FEW ? ` More than ${FEW} groups are drawn without bands.` : "") + left);
})();
