// The latents as points on two axes; a click shows the item of a point.

import { get, latest } from "../api.js";
import { codeBars, comparison } from "../compare.js";
import { el, facts, select, svg } from "../dom.js";
import { percent, short } from "../items.js";
import { picker } from "../picker.js";
import { plot, ticks } from "../plot.js";

// Classes with a color of their own.
const COLORS = 12;

export function latentsView(run) {
  const legend = el("ul", { class: "legend", "aria-label": "Labels" });
  const item = el("div", {});
  const shown = comparison(run, "Columns of the item and of its reconstruction");
  const chooser = el("div", { class: "controls" });
  let points = { x: [], y: [], labels: null, step: 1 };
  let chosen = 0;
  let choice = null;

  const scatter = plot({
    label: "Codes of items on two axes; choose a point below by its number, or click it",
    xTitle: "code on the first axis",
    yTitle: "code on the second axis",
    height: 380,
    properties: { class: "plot clickable", onclick: click },
  });

  function click(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    const { x, y } = scatter.scales;
    const distance = (index) => Math.hypot(x(points.x[index]) - at[0], y(points.y[index]) - at[1]);
    let best = 0;
    points.x.forEach((_, index) => { if (distance(index) < distance(best)) best = index; });
    choice.set(best);
  }

  function range(values) {
    const low = Math.min(...values);
    const high = Math.max(...values);
    const space = (high - low || 1) * 0.04;
    return [low - space, high + space];
  }

  function classes() {
    if (points.labels === null) return { names: [null], of: () => 0 };
    const names = [...new Set(points.labels)].sort((a, b) => a - b);
    return { names, of: (index) => names.indexOf(points.labels[index]) % COLORS };
  }

  function draw() {
    const groups = classes();
    const x = range(points.x);
    const y = range(points.y);
    scatter.show({
      x,
      y,
      xTicks: ticks(...x),
      yTicks: ticks(...y),
      draw: (scales) => {
        const paths = Array.from({ length: COLORS }, () => "");
        points.x.forEach((value, index) => {
          paths[groups.of(index)] += `M${scales.x(value).toFixed(1)} ${scales.y(points.y[index]).toFixed(1)}h0`;
        });
        const drawn = paths.map((d, color) => (d ? svg("path", { class: `points ${points.labels === null ? "alone" : `c${color}`}`, d }) : null));
        const place = { cx: scales.x(points.x[chosen]), cy: scales.y(points.y[chosen]) };
        return [...drawn.filter(Boolean), svg("circle", { class: "selected", r: 8, ...place })];
      },
    });
    legend.hidden = points.labels === null || groups.names.length > COLORS;
    legend.replaceChildren(
      ...groups.names.slice(0, COLORS).map((name, color) => {
        const mark = svg("svg", { class: "plot", width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" });
        mark.append(svg("path", { class: `points c${color}`, d: "M6 6h0" }));
        return el("li", {}, mark, `label ${name}`);
      }),
    );
  }

  const load = latest(async () => {
    const query = { split: split.list.value, x: axisOf(first) - 1, y: axisOf(second) - 1 };
    points = await get("scatter", query);
    chosen = Math.min(chosen, points.x.length - 1);
    const described = { count: points.x.length, step: points.step * run[query.split].step };
    choice = picker(described, "Point", chosen, (index) => {
      chosen = index;
      draw();
      look(index);
    });
    chooser.replaceChildren(choice.element);
    draw();
    await showItem(chosen);
  });

  const look = latest(showItem);

  async function showItem(index) {
    const found = await get("item", { split: split.list.value, index: index * points.step });
    shown.show([["item", found.item], ["reconstruction", found.reconstruction]]);
    item.replaceChildren(
      shown.element,
      facts([
        ["row in the data", String(found.row)],
        ["label", found.label === null ? null : String(found.label)],
        ["error", short(found.error ?? null)],
        ["items with a smaller error", found.share === null || found.share === undefined ? null : percent(found.share)],
      ]),
      codeBars(run, found.code),
    );
  }

  function axisOf(input) {
    const value = Math.round(input.valueAsNumber || 1);
    input.value = Math.max(1, Math.min(run.axes, value));
    return input.valueAsNumber;
  }

  const axis = (value) => el("input", { type: "number", min: 1, max: run.axes, step: 1, value, onchange: load });
  const first = axis(1);
  const second = axis(Math.min(2, run.axes));
  const splits = [["train", "training items"], ["start", "test items"]];
  const split = select("Points", splits, "train", () => {
    chosen = 0;
    load();
  });
  load();
  return el(
    "div",
    {},
    el("p", {}, "Each point is the code of an item. Click one, or choose it by its number, to see the item."),
    el("div", { class: "controls" }, split.element, el("label", {}, "First axis", first), el("label", {}, "Second axis", second)),
    el("div", { class: "columns" }, el("div", {}, scatter.element, legend, chooser), item),
  );
}
