// Interpolation between two items.

import { get, latest } from "../api.js";
import { comparison } from "../compare.js";
import { el, select } from "../dom.js";
import { tiles } from "../items.js";
import { picker } from "../picker.js";

export function pathsView(run) {
  const strip = el("div", {});
  const ends = comparison(run, "Columns of the two items");
  const name = run.start.drawn ? "draw" : "test item";

  const draw = latest(async () => {
    const chosen = { first: first.value, second: second.value };
    const [made, ...items] = await Promise.all([
      get("path", { ...chosen, kind: kind.list.value, steps: steps.value }),
      get("item", { split: "start", index: chosen.first }),
      get("item", { split: "start", index: chosen.second }),
    ]);
    ends.show(items.map((item, end) => [end ? "second" : "first", item.item ?? item.reconstruction]));
    const last = made.items.length - 1;
    const shares = made.items.map((_, step) => `${Math.round((100 * step) / last)}%`);
    strip.replaceChildren(el("h3", {}, "Decoded path"), tiles(run, made.items, shares, "step"));
  });

  const first = picker(run.start, `First ${name}`, 0, draw);
  const second = picker(run.start, `Second ${name}`, Math.min(1, run.start.count - 1), draw);
  const words = { linear: "a straight line", spherical: "a great circle" };
  const kind = select("Path", run.paths.map((path) => [path, words[path]]), run.paths[0], draw);
  const count = el("output", {}, "10");
  const steps = el("input", { type: "range", min: 2, max: 16, value: 10, oninput: () => { count.textContent = steps.value; draw(); } });
  draw();
  return el(
    "div",
    {},
    el("p", {}, `Items decoded on a path between the codes of two ${name}s. A great circle keeps the distance from the mean.`),
    el("div", { class: "controls" }, first.element),
    el("div", { class: "controls" }, second.element),
    el("div", { class: "controls" }, kind.element, el("label", {}, "Steps", steps, count)),
    strip,
    el("h3", {}, run.start.items ? "The two items" : "The two ends"),
    ends.element,
  );
}
