"use strict";
// The links to the parts that there are; a part that is asked for is unfolded; paper has the runs and the curves.

(() => {
  const PRINTED = ["runs", "curves"]; // of what is folded; the others need a pointer, or say what a run's folder says too
  const sections = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden);
  const unfold = (section) => section?.querySelector("details")?.setAttribute("open", "");
  for (const section of sections) {
    const link = el("a", { href: `#${section.id}`, click: () => unfold(section) }, section.querySelector("h2").textContent);
    document.querySelector("nav").append(link);
  }
  const asked = () => sections.find((section) => `#${section.id}` === location.hash);
  unfold(asked());
  addEventListener("hashchange", () => unfold(asked()));

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = PRINTED.map((id) => document.querySelector(`#${id} > details:not([open])`)).filter(Boolean);
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => opened.forEach((each) => (each.open = false)));
})();
