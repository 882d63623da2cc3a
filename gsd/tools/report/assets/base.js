"use strict";
// What all parts of the page share: the data, elements, numbers as text, which runs are chosen, how they are grouped.

const data = JSON.parse(document.querySelector("#data").textContent);
const runs = data.runs; // "config" holds what is not common to all; the settings in which runs differ are part of it
for (const run of runs) {
  run.settings = Object.fromEntries(data.settings.filter((key) => key in run.config).map((key) => [key, run.config[key]]));
  run.label = Object.entries(run.settings).map(([key, value]) => `${key}=${setting(value)}`).join(" ") || run.name;
}

// An element. Text is set as text, never parsed: prompts and file names may hold anything.
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const part = (section, selector) => document.querySelector(`#${section} ${selector}`);
const note = (section, text) => (part(section, ".note").textContent = text);

// A choice among [value, text] pairs; change(value) at every change.
function select(label, options, change) {
  const menu = el("select", { change: () => change(menu.value) });
  menu.append(...options.map(([value, text]) => el("option", { value }, text)));
  return el("label", {}, label, menu);
}

function checkbox(label, change) {
  const box = el("input", { type: "checkbox", change: () => change(box.checked) });
  return el("label", {}, box, label);
}

// Whole numbers whole, others with four digits that matter; a dash for what is not known.
function number(x, whole = Number.isInteger(x)) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x), sign = x < 0 ? "−" : "";
  if (whole || x === 0) return sign + size.toLocaleString("en").replaceAll(",", "\u2009");
  const short = size >= 1e5 || size < 1e-3;
  return sign + (short ? size.toExponential(2) : size.toFixed(Math.max(0, 3 - Math.floor(Math.log10(size)))));
}

// The same for a column: 19 among fractions is 19.00.
function numbersLike(values) {
  const whole = values.every((x) => x === null || x === undefined || Number.isInteger(x));
  return (x) => number(x, whole);
}

const interval = ([value, low, high], text = number) => (low === null ? text(value) : `${text(value)} [${text(low)}, ${text(high)}]`);
// A setting in the words of a config.
function setting(value) {
  return value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value);
}
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

// Metrics with a value for each view of the turntable.
const turned = [...new Set(runs.flatMap((run) => Object.keys(run.turns ?? {})))];

// A number of the summary, or of evaluations on the way: what it is called, and with unit and better direction.
const EVALUATION = /^evaluation\//;
const known = (name) => Object.hasOwn(data.quantities, name.replace(EVALUATION, ""));
const quantity = (name) => (known(name) ? data.quantities[name.replace(EVALUATION, "")] : { title: name, label: name, unit: "", better: null, factor: 1 });
const label = (name) => quantity(name).label;
const title = (name) => quantity(name).title;

// In its unit: shares are kept as fractions and shown in percent.
const inUnit = (name, x) => (x === null || x === undefined ? null : quantity(name).factor * x);

// How its values are written, without the unit: a number that gsd knows with its decimals, others as a column of theirs.
function textOf(name, values) {
  const { factor, decimals } = quantity(name);
  if (!known(name)) return numbersLike(values);
  return (x) => (x === null || x === undefined ? "–" : (factor * x).toFixed(decimals).replace(/^-(?=[0.]*$)/, "").replace("-", "−"));
}

// Wong 2011: colours told apart with any colour vision; then dashes.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5195", "#8c8c8c"];
const DASHES = ["none", "6 3", "2 3", "8 3 2 3"];
const colour = (index) => COLOURS[index % COLOURS.length];
const dash = (index) => DASHES[Math.floor(index / COLOURS.length) % DASHES.length];
const swatch = (index) => el("i", { class: "swatch", style: `background:${colour(index)}` });

// State that several parts follow.
function watched(value) {
  const watchers = [];
  return {
    get: () => value,
    set(next) {
      value = next;
      watchers.forEach((watcher) => watcher(value));
    },
    watch: (watcher) => watchers.push(watcher),
  };
}

// Called now, and whenever one of the states changes.
function follow(states, draw) {
  states.forEach((state) => state.watch(draw));
  draw();
}

const chosen = watched(data.chosen); // indices of runs, ascending
const FEW = 12; // groups that a plot shows well
const grouping = watched(data.groupings[data.grouping]);

// The width that plots have, in pixels: that of the text column, up to what is still read at a glance.
const roomNow = () => Math.max(320, Math.min(document.querySelector("h1").clientWidth, 920));
const room = watched(roomNow());
addEventListener("resize", () => roomNow() !== room.get() && room.set(roomNow()));

// A menu of it; those of several parts agree.
function groupMenu() {
  const label = select("group by ", data.groupings.map((each, k) => [k, each.name]), (k) => grouping.set(data.groupings[k]));
  follow([grouping], () => (label.querySelector("select").value = data.groupings.indexOf(grouping.get())));
  return label;
}

// The index of a run's group, which gives its colour.
const members = new Map(data.groupings.map((each) => [each, new Int32Array(runs.length)]));
for (const [each, index] of members) each.groups.forEach((group, k) => group.runs.forEach((run) => (index[run] = k)));
const groupOf = (run) => members.get(grouping.get())[run];

// Bytes that lie in the page as base64, decoded when they are asked for.
function bytes(name) {
  return Uint8Array.from(atob(document.getElementById(name).textContent), (c) => c.charCodeAt(0));
}

const addresses = new Map();
function address(name, type) {
  if (!addresses.has(name)) addresses.set(name, URL.createObjectURL(new Blob([bytes(name)], { type })));
  return addresses.get(name);
}

// show(element) when it first comes near the window.
const waiting = new WeakMap();
const nearby = new IntersectionObserver(
  (entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      nearby.unobserve(target);
      waiting.get(target)();
      waiting.delete(target);
    }
  },
  { rootMargin: "300px" },
);
function whenSeen(element, show) {
  waiting.set(element, show);
  nearby.observe(element);
}

function hide(section) {
  document.querySelector(`#${section}`).hidden = true;
}
