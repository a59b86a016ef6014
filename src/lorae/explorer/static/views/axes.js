// Sliders along the canonical axes, with the decoded item beside the chosen one.

import { get, latest, post } from "../api.js";
import { columnTable, pictures } from "../compare.js";
import { button, el } from "../dom.js";
import { percent, tiles } from "../items.js";
import { picker } from "../picker.js";

// Deviations to both sides, unless the item is farther out.
const REACH = 3;
const STEPS = 9;
const AT_ONCE = 12;

export function axesView(run) {
  const shown = pictures(run);
  const table = run.kind === "vectors" ? columnTable(run, "Columns of the item and of the changed one") : null;
  const strip = el("div", {});
  const list = el("div", {});
  const variance = run.deviations.reduce((sum, value) => sum + value * value, 0);
  const sliders = [];
  let start = null;
  let code = [];
  let axis = 0;

  const load = latest(async (index) => {
    start = await get("item", { split: "start", index });
    code = [...start.code];
    sliders.forEach((each) => each.begin());
    await change();
  });

  const decode = latest(change);

  async function change() {
    const found = await post("decode", { code, axis, steps: STEPS, reach: REACH });
    const label = start.label === null ? "" : `, label ${start.label}`;
    shown.show([
      [`item${label}`, start.item],
      [run.start.drawn ? "draw" : "reconstruction", start.reconstruction],
      ["changed", found.item],
    ]);
    table?.show([["item", start.item ?? start.reconstruction], ["changed", found.item]]);
    const places = Array.from({ length: STEPS }, (_, step) => (step / (STEPS - 1) - 0.5) * 2 * REACH);
    strip.replaceChildren(
      el("h3", {}, `Along axis ${axis + 1}`),
      tiles(run, found.strip, places.map((place) => place.toFixed(2)), `along axis ${axis + 1}, step`, "nine"),
      el("p", { class: "muted" }, "The changed item with this axis at other places, in deviations of the latent."),
    );
  }

  const alone = el("input", { type: "checkbox" });

  function slider(index) {
    const deviation = run.deviations[index];
    const input = el("input", { type: "range", min: -REACH, max: REACH, step: 0.05, "aria-label": `Axis ${index + 1}` });
    const output = el("output", {});

    function display() {
      output.textContent = (code[index] / deviation).toFixed(2);
      input.setAttribute("aria-valuetext", `${output.textContent} deviations`);
    }

    function begin() {
      const place = start.code[index] / deviation;
      const reach = Math.max(REACH, Math.ceil(Math.abs(place)));
      input.min = -reach;
      input.max = reach;
      input.value = place;
      code[index] = start.code[index];
      display();
    }

    function moved() {
      axis = index;
      if (alone.checked) sliders.forEach((each, other) => other !== index && each.begin());
      code[index] = input.valueAsNumber * deviation;
      display();
      decode();
    }

    function reset() {
      axis = index;
      begin();
      decode();
    }

    input.addEventListener("input", moved);
    const share = el("small", {}, percent((deviation * deviation) / variance));
    const name = el("span", {}, `Axis ${index + 1}`, share);
    const again = button("Reset", reset, { "aria-label": `Reset axis ${index + 1}` });
    list.append(el("div", { class: "axis" }, name, input, output, again));
    if (start !== null) begin();
    return { begin };
  }

  function addSliders() {
    const end = Math.min(sliders.length + AT_ONCE, run.axes);
    while (sliders.length < end) sliders.push(slider(sliders.length));
    more.hidden = sliders.length === run.axes;
    more.textContent = `Show ${Math.min(AT_ONCE, run.axes - sliders.length)} more of ${run.axes} axes`;
  }

  const more = button("", addSliders);
  const resetAll = button("Reset all axes", () => {
    code = [...start.code];
    sliders.forEach((each) => each.begin());
    decode();
  });
  addSliders();
  const words = run.start.drawn ? "a draw" : "an item";
  const chosen = picker(run.start, run.start.drawn ? "Draw" : "Test item", 0, load);
  load(0);
  return el(
    "div",
    {},
    el("p", {}, `Move ${words} along the axes of the latent. Percentages are shares of the variance of the latent.`),
    el("div", { class: "controls" }, chosen.element),
    el(
      "div",
      { class: "columns" },
      el("div", { class: "stays" }, shown.element, strip),
      el(
        "div",
        {},
        el("div", { class: "controls" }, el("label", {}, alone, "One axis at a time"), resetAll),
        list,
        more,
      ),
    ),
    table && el("div", {}, el("h3", {}, "Columns"), table.element),
  );
}
