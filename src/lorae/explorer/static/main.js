// The page: facts about the run, and its views, each made when it is first opened.

import { get, report } from "./api.js";
import { el } from "./dom.js";
import { percent, short } from "./items.js";
import { axesView } from "./views/axes.js";
import { latentsView } from "./views/latents.js";
import { ownView } from "./views/own.js";
import { pathsView } from "./views/paths.js";
import { samplesView } from "./views/samples.js";
import { spectrumView } from "./views/spectrum.js";

const VIEWS = {
  axes: ["Axes", axesView],
  paths: ["Interpolation", pathsView],
  samples: ["Samples", samplesView],
  spectrum: ["Spectrum", spectrumView],
  latents: ["Latents", latentsView],
  own: ["Your item", ownView],
};

const main = document.getElementById("content");
const made = new Map();

function header(run) {
  document.title = `${run.name} – lorae explorer`;
  document.getElementById("name").textContent = run.name;
  const found = run.evaluated;
  const width = `${run.latent_dim} latent coordinates`;
  const facts = [
    `${run.method} on ${run.data}`,
    found.rank === null ? width : `rank ${found.rank} of ${width}`,
    found.test_mse === null ? null : `test error ${short(found.test_mse)}`,
    found.explained === null ? null : explained(found.explained),
  ];
  document.getElementById("facts").textContent = facts.filter((each) => each !== null).join(" · ");
  const notes = document.getElementById("notes");
  notes.replaceChildren(...run.notes.map((note) => el("li", {}, note)));
  notes.hidden = run.notes.length === 0;
}

function explained(share) {
  return share > 0 ? `explains ${percent(share)} of the variance` : "reconstructs worse than the mean item";
}

function view(run, name) {
  const [title, create] = VIEWS[name];
  const heading = el("h2", { tabindex: -1 }, title);
  const reason = run.views[name];
  return el("section", {}, heading, reason === null ? create(run) : el("p", {}, reason));
}

function open(run, moveFocus) {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "axes";
  if (!made.has(name)) {
    const section = view(run, name);
    made.set(name, section);
    main.append(section);
  }
  for (const [other, section] of made) section.hidden = other !== name;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  report("");
  if (moveFocus) made.get(name).querySelector("h2").focus();
}

async function start() {
  const run = await get("session");
  header(run);
  const links = Object.entries(VIEWS).map(([name, [title]]) => el("li", {}, el("a", { href: `#${name}` }, title)));
  document.getElementById("views").replaceChildren(...links);
  addEventListener("hashchange", () => {
    if (location.hash === "#content") main.focus();
    else open(run, true);
  });
  open(run, false);
}

start().catch((error) => report(error.message));
