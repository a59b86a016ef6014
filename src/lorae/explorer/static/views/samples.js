// Samples from every density, and the training items nearest to one of them.

import { get, latest } from "../api.js";
import { comparison } from "../compare.js";
import { button, el, select } from "../dom.js";
import { figure, picture, short } from "../items.js";

// Milliseconds between two questions whether a density is fitted.
const PATIENCE = 500;

export function samplesView(run) {
  const grid = el("div", { class: "tiles" });
  const near = el("div", {});
  const waiting = el("p", { role: "status", hidden: true }, "The density is being fitted to the latents …");
  const summary = el("p", { class: "muted" });
  const compared = comparison(run, "Columns of the sample and of the nearest training item");
  let query = {};
  let items = [];

  const draw = latest(async () => {
    query = { sampler: sampler.list.value, n: number.list.value, seed: Math.max(0, Math.round(seed.valueAsNumber || 0)) };
    seed.value = query.seed;
    summary.textContent = `${run.samplers.find((each) => each.name === query.sampler).summary}.`;
    const found = await get("samples", query);
    waiting.hidden = found.ready;
    if (!found.ready) {
      grid.replaceChildren();
      near.replaceChildren();
      setTimeout(draw, PATIENCE);
      return;
    }
    items = found.items;
    grid.replaceChildren(
      ...items.map((item, index) => {
        const label = `sample ${index + 1}`;
        const properties = { "aria-pressed": "false", "aria-label": `${label}, show its nearest training items` };
        return button(picture(run, item, label), () => choose(index), properties);
      }),
    );
    await nearest(0);
  });

  const choose = latest(nearest);

  async function nearest(index) {
    [...grid.children].forEach((each, other) => each.setAttribute("aria-pressed", other === index ? "true" : "false"));
    if (run.train === null) {
      near.replaceChildren(el("p", {}, `The method ${run.method} has no encoder, so training items have no codes to be near to.`));
      return;
    }
    const found = await get("nearest", { ...query, index });
    const figures = found.items.map((item, place) => {
      const label = found.labels === null ? "" : `, label ${found.labels[place]}`;
      return figure(run, item, `${short(found.distances[place])}${label}`, `training item ${found.rows[place]}`);
    });
    const decoded = run.train.items ? "" : " They are decoded from their latents, because the data are no longer there.";
    compared.show([["sample", items[index]], ["nearest", found.items[0]]]);
    near.replaceChildren(
      el("h3", {}, `Sample ${index + 1} and its nearest training items`),
      el("p", { class: "muted" }, `Nearest in the latent, with their distances.${decoded}`),
      compared.element,
      el("div", { class: "tiles" }, figures),
    );
  }

  const names = run.samplers.map((each) => [each.name, each.name]);
  const sampler = select("Density", names, names[0][0], draw);
  const number = select("Number", [["12", "12"], ["24", "24"], ["48", "48"]], "24", draw);
  const seed = el("input", { type: "number", min: 0, max: 2 ** 31 - 1, step: 1, value: 0, onchange: draw });
  const again = button("New draw", () => {
    seed.value = (seed.valueAsNumber || 0) + 1;
    draw();
  });
  draw();
  return el(
    "div",
    {},
    el("p", {}, "Items decoded from latents that are drawn from a density. Choose one to see the training items nearest to it."),
    el("div", { class: "controls" }, sampler.element, number.element, el("label", {}, "Seed", seed), again),
    summary,
    waiting,
    grid,
    near,
  );
}
