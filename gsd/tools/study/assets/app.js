"use strict";
// A rater's way through the study. Only the server knows where the rater is: this page asks, shows and sends answers.

const part = (id) => document.getElementById(id);
const [film, angle, answers] = ["film", "angle", "answers"].map(part);
const notify = (sentence) => (part("notice").textContent = sentence);
const films = new Map(); // name -> promise of an address in this page: fetched once, ahead of time
let standing, seen; // where the rater is, and since when the film could be seen

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// What the server says, however long it is away. What it refuses is null.
async function ask(path, options = {}, kind = "json") {
  for (;;) {
    try {
      const response = await fetch(path, options);
      if (response.status < 500) {
        const content = response.ok ? await response[kind]() : null;
        notify("");
        return content;
      }
    } catch {} // no connection
    notify("The server cannot be reached. Your answer is kept here and sent as soon as it is back.");
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function fetched(name) {
  if (!films.has(name)) films.set(name, ask(`/media/${name}`, {}, "blob").then(URL.createObjectURL));
  return films.get(name);
}

function question([name, text]) {
  const choice = (value, word) =>
    element("label", {}, element("input", { type: "radio", name, value, required: true }), word);
  return element("div", { role: "group", ariaLabel: text }, choice("left", "Left"), text, choice("right", "Right"));
}

async function begin() {
  const study = await ask("/api/study");
  part("consent").replaceChildren(...study.consent.map((text) => element("p", {}, text)));
  part("questions").replaceChildren(...Object.entries(study.questions).map(question));
  const id = document.cookie.match(/study=(\w+)/)?.[1];
  const known = id && (await ask(`/api/participants/${id}`)); // not of another study
  known ? go(known) : (document.body.className = "welcome");
}

async function go(to) {
  standing = to;
  document.cookie = `study=${to.id}; SameSite=Strict; Max-Age=31536000`; // so that a reload goes on
  document.body.className = to.films.length ? "trial" : "thanks"; // which part of the page is seen
  if (!to.films.length) return;
  answers.disabled = true;
  part("form").reset();
  part("count").textContent = `${to.answered + 1} of ${to.total}`;
  part("prompt").textContent = `“${to.prompt}”`;
  film.src = await fetched(to.films[0]);
  await new Promise((ready) => (film.oncanplaythrough = ready));
  answers.disabled = false;
  seen = performance.now();
  to.films.forEach(fetched);
}

film.onerror = () => notify("This browser cannot show these models. Please use another one.");
film.ontimeupdate = () => film.paused || (angle.value = film.currentTime / film.duration);
angle.oninput = () => (film.pause(), (film.currentTime = angle.value * film.duration));
part("play").onclick = () => (film.paused ? film.play() : film.pause());
part("agree").onsubmit = async (event) => {
  event.preventDefault();
  part("start").disabled = true;
  const begun = await ask("/api/participants", { method: "POST" });
  begun ? go(begun) : notify("No more participants can begin at the moment. Thank you for your interest.");
};
part("form").onsubmit = async (event) => {
  event.preventDefault();
  const choices = Object.fromEntries(new FormData(part("form")));
  const answer = { position: standing.answered, choices, seconds: (performance.now() - seen) / 1000 };
  answers.disabled = true;
  const path = `/api/participants/${standing.id}`;
  // Refused is what was given before, in another window or by a try whose reply was lost
  go((await ask(`${path}/answers`, { method: "POST", body: JSON.stringify(answer) })) ?? (await ask(path)));
};

begin();
