// Choice of one of several items: a number, and buttons to the items beside it.

import { button, el } from "./dom.js";

export function picker(points, name, value, onchange) {
  const input = el("input", { type: "number", min: 0, max: points.count - 1, step: 1, value });
  const every = points.step > 1 ? `, one in ${points.step} of the data` : "";
  let current = value;

  function set(wanted, silent = false) {
    const whole = Number.isFinite(wanted) ? Math.round(wanted) : current;
    current = Math.max(0, Math.min(points.count - 1, whole));
    input.value = current;
    if (!silent) onchange(current);
  }

  input.addEventListener("change", () => set(input.valueAsNumber));
  const element = el(
    "div",
    { class: "group", role: "group", "aria-label": name },
    el("label", {}, name, input),
    button("Previous", () => set((current - 1 + points.count) % points.count)),
    button("Next", () => set((current + 1) % points.count)),
    button("Random", () => set(Math.floor(Math.random() * points.count))),
    el("span", { class: "muted" }, `of ${points.count.toLocaleString("en")}${every}`),
  );
  return { element, set, get value() { return current; } };
}
