"use strict";
// Turntables of the chosen runs side by side: one clock, in turns, drives all of them.

(() => {
  const GROUNDS = { light: "turntable", dark: "turntable_dark" };
  const grounds = Object.keys(GROUNDS).filter((ground) => runs.some((run) => run[GROUNDS[ground]]));
  if (!grounds.length) return hide("turntables");
  const APART = 0.02; // turns that a film may be off before it is set right
  let films = [], turn = 0, playing = false, before = 0, ground = grounds[0];
  const seconds = () => films.find((film) => film.duration)?.duration ?? 4; // of a turn

  const slider = el("input", { type: "range", min: 0, max: 360, step: 1, value: 0, "aria-label": "degrees", input: () => pause(slider.value / 360) });
  const degrees = el("output", {}, "0°");
  const button = el("button", { class: "play", click: () => (playing ? pause() : play()) }, "play");
  const grounding = select("ground ", grounds.map((name) => [name, name]), (name) => ((ground = name), draw()));
  part("turntables", ".controls").append(button, slider, degrees, ...(grounds.length > 1 ? [grounding] : []));

  function show() {
    slider.value = Math.round(turn * 360);
    degrees.textContent = `${slider.value}°`;
  }

  // The last frame ends short of the duration: a film set to its very end would show nothing.
  const place = (film) => Math.min(turn, 0.9999) * film.duration;

  function go(to) {
    turn = to;
    for (const film of films) if (film.duration) film.currentTime = place(film);
    show();
  }

  function play() {
    playing = true, before = performance.now();
    button.textContent = "pause";
    for (const film of films) start(film);
    requestAnimationFrame(advance);
  }

  function start(film) {
    if (!film.duration) return;
    film.playbackRate = film.duration / seconds();
    film.currentTime = place(film);
    film.play().catch(() => {}); // interrupted by a pause, or a film that cannot be played and says so itself
  }

  function pause(at = turn) {
    playing = false;
    button.textContent = "play";
    for (const film of films) film.pause();
    go(at);
  }

  function advance(now) {
    if (!playing) return;
    turn = (turn + (now - before) / 1000 / seconds()) % 1;
    before = now;
    for (const film of films) {
      const apart = film.duration ? Math.abs(film.currentTime / film.duration - turn) : 0;
      if (Math.min(apart, 1 - apart) > APART && !film.seeking) film.currentTime = place(film);
    }
    show();
    requestAnimationFrame(advance);
  }

  function caption(run) {
    const { label, verdict, metrics } = runs[run], psnr = metrics.psnr_aligned;
    const said = [verdict, psnr === undefined ? "" : `PSNR ${textOf("psnr_aligned")(psnr)} dB`].filter(Boolean).join(" · ");
    return el("figcaption", {}, swatch(groupOf(run)), label, el("small", {}, said));
  }

  function figure(run) {
    const name = runs[run][GROUNDS[ground]] ?? runs[run].turntable;
    const words = caption(run);
    if (!name) return el("figure", {}, el("div", { class: "absent" }, runs[run].status === "done" ? "no turntable in this page" : `${runs[run].status}: no turntable`), words);
    const film = el("video", { class: ground, muted: true, loop: true, playsinline: true, preload: "auto", "data-run": run });
    film.muted = true;
    film.addEventListener("loadedmetadata", () => (playing ? start(film) : (film.currentTime = place(film))));
    film.addEventListener("error", () => film.replaceWith(el("div", { class: "absent" }, "this browser cannot play the turntable")));
    whenSeen(film, () => (film.src = address(name, "video/mp4")));
    films.push(film);
    return el("figure", {}, film, words);
  }

  function draw() {
    films.forEach((film) => film.pause());
    films = [];
    const shown = chosen.get().slice(0, MOST), across = shown.length < 4 ? shown.length : [4, 3].find((n) => shown.length % n === 0) ?? 4;
    part("turntables", ".tiles").replaceChildren(...shown.map(figure));
    part("turntables", ".tiles").style.setProperty("--across", across);
    note("turntables", chosen.get().length > MOST ? `The first ${MOST} of ${number(chosen.get().length)} chosen runs.` : "One run of each group, or those chosen in the table of runs. 0° is the front the run was asked for.");
  }

  const MOST = 24; // films at once
  follow([chosen, grouping], draw);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) whenSeen(part("turntables", ".tiles"), play);
})();
