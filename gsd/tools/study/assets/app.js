"use strict";
// A rater's way through the study. Where the rater is, only the server knows: this page asks, shows, and sends answers.

const part = (id) => document.getElementById(id);
const APART = 0.02; // turns that the two turntables may be off before the right one is set right
const AGAIN_MS = 2000; // between tries to send an answer
const ID = "study-id"; // in the browser's storage, so that a reload goes on

let study = null, standing = null, answer = null, stage = null, wanted = 0;
const films = new Map(); // media name -> promise of an address: fetched once, ahead of time

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status });
  return response.json();
}

// Until the server has answered: no connection, 408 (too slow a one) and 5xx are tried again, anything else is an answer.
async function insist(path, body) {
  for (;;) {
    try {
      const content = await ask(path, body);
      notify("");
      return content;
    } catch (error) {
      if (error.status && error.status < 500 && error.status !== 408) throw error;
      notify("The server cannot be reached. Your answer is kept here and sent as soon as it is back.");
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

function notify(sentence) {
  part("notice").textContent = sentence;
  part("notice").hidden = !sentence;
}

function remembered() {
  try { return localStorage.getItem(ID); } catch { return null; } // storage may be forbidden
}

function remember(id) {
  try { id ? localStorage.setItem(ID, id) : localStorage.removeItem(ID); } catch { /* then a reload needs the id */ }
}

function reveal(page) {
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== page;
  scrollTo(0, 0);
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- where the rater is

async function begin() {
  study = await insist("/api/study");
  part("consent").replaceChildren(...study.consent.map((text) => element("p", {}, text)));
  part("length").textContent = `There are ${study.total} pairs, with three questions each.`;
  layQuestions();
  const id = remembered();
  if (!id || !(await resume(id))) reveal("welcome");
}

async function resume(id) {
  try {
    go(await insist(`/api/participants/${encodeURIComponent(id)}`));
    return true;
  } catch {
    remember(null); // of another study, or mistyped
    return false;
  }
}

function go(to) {
  standing = to;
  remember(to.id);
  for (const place of document.querySelectorAll(".id")) place.textContent = to.id;
  if (to.trial) show(to.trial);
  else reveal("thanks");
}

part("agree").onchange = () => (part("start").disabled = !part("agree").checked);
part("start").onclick = async () => {
  part("start").disabled = true;
  go(await insist("/api/participants", { consent: true }));
};
part("resume").onsubmit = async (event) => {
  event.preventDefault();
  if (!(await resume(part("known").value.trim()))) notify("No participant has this id.");
};

// ---- a trial

async function show(trial) {
  const mine = ++wanted;
  reveal("trial");
  stage?.close();
  stage = null;
  answer = { choices: {}, seconds: {}, since: null };
  part("count").textContent = `${trial.position + 1} of ${standing.total}`;
  part("progress").max = standing.total;
  part("progress").value = trial.position;
  part("prompt").textContent = `“${trial.prompt}”`;
  for (const side of ["left", "right"]) part(side).replaceChildren(element("p", {}, "loading …"));
  mark();
  const [left, right] = await Promise.all([fetched(trial.left), fetched(trial.right)]);
  if (mine !== wanted) return;
  try {
    stage = await (study.show === "turntable" ? turntables : sheets)(left, right);
  } catch {
    return notify("This browser cannot show these models. Please go on in another one, with your id."); // and no answer
  }
  answer.since = performance.now();
  mark();
  keep([trial.left, trial.right, ...standing.soon]);
}

function fetched(name) {
  if (!films.has(name)) films.set(name, download(name));
  return films.get(name);
}

async function download(name) {
  for (;;) {
    try {
      const response = await fetch(`/media/${name}`);
      if (!response.ok) throw new Error(response.status);
      const address = URL.createObjectURL(await response.blob());
      notify("");
      return address;
    } catch {
      notify("The server cannot be reached. Trying again …");
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

// Fetch what comes next, forget what is over.
function keep(names) {
  for (const [name, address] of films) if (!names.includes(name)) films.delete(name), address.then(URL.revokeObjectURL);
  names.forEach(fetched);
}

async function sheets(left, right) {
  part("stage").className = "sheets";
  part("turn").hidden = true;
  const pictures = [left, right].map((src) => element("img", { src, alt: "six views" }));
  await Promise.all(pictures.map((picture) => picture.decode()));
  part("left").replaceChildren(pictures[0]);
  part("right").replaceChildren(pictures[1]);
  return { close() {}, toggle() {} };
}

// Both turn together: the left one leads, the right one is set right when it is off, and the slider turns both.
async function turntables(left, right) {
  const both = [left, right].map((src) => element("video", { src, muted: true, loop: true, playsInline: true }));
  await Promise.all(both.map((film) => new Promise((ready, fail) => ((film.oncanplaythrough = ready), (film.onerror = fail)))));
  part("left").replaceChildren(both[0]);
  part("right").replaceChildren(both[1]);
  part("turn").hidden = false;
  let turning = false, frame = 0;
  const turn = (film) => film.currentTime / film.duration;
  const set = (to) => both.forEach((film) => (film.currentTime = Math.min(to, 0.9999) * film.duration)); // the end shows nothing

  function advance() {
    const apart = Math.abs(turn(both[0]) - turn(both[1]));
    if (Math.min(apart, 1 - apart) > APART && !both[1].seeking) both[1].currentTime = turn(both[0]) * both[1].duration;
    part("angle").value = 360 * turn(both[0]);
    frame = requestAnimationFrame(advance);
  }
  function stop() {
    turning = false;
    cancelAnimationFrame(frame);
    both.forEach((film) => film.pause());
    part("play").textContent = "turn";
  }
  function play() {
    turning = true;
    set(turn(both[0]));
    both.forEach((film) => film.play().catch(() => {})); // interrupted by a pause
    part("play").textContent = "stop";
    advance();
  }
  part("angle").oninput = () => (stop(), set(part("angle").value / 360));
  part("play").onclick = () => (turning ? stop() : play());
  play();
  return { close: stop, toggle: part("play").onclick };
}

// ---- the three questions

function layQuestions() {
  const choices = study.tie ? ["left", "tie", "right"] : ["left", "right"];
  const words = { left: "Left", tie: "No difference", right: "Right" };
  part("questions").replaceChildren(
    ...study.questions.map(({ key, text }) => {
      const buttons = choices.map((side) => {
        const button = element("button", { className: side, onclick: () => choose(key, side) }, words[side]);
        button.dataset.side = side;
        button.setAttribute("role", "radio");
        return button;
      });
      const row = element("div", { className: "question", id: `question-${key}` }, buttons[0], element("p", {}, text), ...buttons.slice(1));
      row.setAttribute("role", "radiogroup");
      row.setAttribute("aria-label", text);
      return row;
    }),
  );
  const key = (name) => element("kbd", {}, name);
  const tie = study.tie ? [" ", key("T"), " no difference,"] : [];
  const space = study.show === "turntable" ? [key("space"), " stop or turn, "] : [];
  part("keys").replaceChildren(key("←"), " ", key("→"), " choose,", ...tie, " ", key("↑"), " ", key("↓"), " question, ", ...space, key("Enter"), " next");
}

const unanswered = () => study.questions.find(({ key }) => !answer.choices[key])?.key;

function choose(question, side) {
  if (!answer?.since || answer.sent) return; // nothing to be seen yet, or it is on its way
  answer.choices[question] = side;
  answer.seconds[question] = (performance.now() - answer.since) / 1000;
  answer.current = unanswered() ?? question;
  mark();
}

function mark() {
  answer.current ??= study.questions[0].key;
  for (const { key } of study.questions) {
    const row = part(`question-${key}`);
    row.classList.toggle("current", answer.since !== null && key === answer.current);
    for (const button of row.querySelectorAll("button")) {
      button.disabled = answer.since === null || Boolean(answer.sent);
      button.setAttribute("aria-checked", answer.choices[key] === button.dataset.side);
    }
  }
  part("next").disabled = answer.since === null || answer.sent || Boolean(unanswered());
}

async function send() {
  if (part("next").disabled) return;
  answer.sent = true;
  mark();
  const { choices, seconds, since } = answer;
  const body = {
    position: standing.trial.position, choices, seconds, total: (performance.now() - since) / 1000,
    screen: [screen.width, screen.height], window: [innerWidth, innerHeight],
  };
  const path = `/api/participants/${standing.id}`;
  try {
    go(await insist(`${path}/answers`, body));
  } catch (error) {
    // Given before, in another window or by a try whose reply was lost: the server knows where to go on
    if (error.status === 409) go(await insist(path));
    else notify(`This answer was refused: ${error.message}`);
  }
}

part("next").onclick = send;

// ---- keys

function step(by) {
  const keys = study.questions.map(({ key }) => key);
  answer.current = keys[Math.min(Math.max(keys.indexOf(answer.current) + by, 0), keys.length - 1)];
  mark();
}

const KEYS = {
  ArrowLeft: () => choose(answer.current, "left"),
  ArrowRight: () => choose(answer.current, "right"),
  ArrowUp: () => step(-1),
  ArrowDown: () => step(1),
  t: () => study.tie && choose(answer.current, "tie"),
  " ": () => stage?.toggle(),
  Enter: send,
};

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || part("trial").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const focused = document.activeElement;
  if (focused?.matches("button:focus-visible") && (event.key === " " || event.key === "Enter")) return; // its own keys
  if (focused === part("angle") && event.key.startsWith("Arrow")) return;
  event.preventDefault();
  act();
});
// What was clicked does not keep the focus, or space and Enter would press it again.
document.addEventListener("click", (event) => event.detail && !part("trial").hidden && event.target.closest("button, #angle")?.blur());

begin();
