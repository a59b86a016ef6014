// Plots as SVG, drawn anew for the width that they have, so that texts keep their size on a telephone.

import { el, svg } from "./dom.js";

const MARGIN = { left: 52, right: 12, top: 26, bottom: 40 };

// Return a plot: `draw(scales)` gives its elements, for scales x and y from values to pixels.
export function plot({ label, xTitle, yTitle, height = 280, properties = {} }) {
  const element = el("div", {});
  let settings = null;
  let scales = null;

  function redraw() {
    if (settings === null || element.clientWidth === 0) return;
    const width = element.clientWidth;
    const { x, y, xTicks, yTicks, draw } = settings;
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    scales = {
      x: (value) => MARGIN.left + ((value - x[0]) / (x[1] - x[0])) * (right - MARGIN.left),
      y: (value) => bottom - ((value - y[0]) / (y[1] - y[0])) * (bottom - MARGIN.top),
      xOf: (place) => x[0] + ((place - MARGIN.left) / (right - MARGIN.left)) * (x[1] - x[0]),
      box: { left: MARGIN.left, right, top: MARGIN.top, bottom },
    };
    const lines = yTicks.flatMap(([value, text]) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: scales.y(value), y2: scales.y(value) }),
      svg("text", { x: MARGIN.left - 6, y: scales.y(value) + 4, "text-anchor": "end" }, text),
    ]);
    const marks = xTicks.map(([value, text]) =>
      svg("text", { x: scales.x(value), y: bottom + 17, "text-anchor": "middle" }, text),
    );
    const titles = [
      svg("text", { x: right, y: height - 6, "text-anchor": "end" }, xTitle),
      svg("text", { x: 2, y: 13 }, yTitle),
    ];
    element.replaceChildren(
      svg(
        "svg",
        { class: "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label, ...properties },
        svg("rect", { class: "frame", x: 0, y: 0, width, height }),
        lines,
        marks,
        titles,
        draw(scales),
      ),
    );
  }

  new ResizeObserver(redraw).observe(element);
  return {
    element,
    get scales() { return scales; },
    show(given) {
      settings = given;
      redraw();
    },
  };
}

// Values of an axis with at most `count` steps of 1, 2 or 5 times a power of ten.
export function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) {
    found.push([value, String(Number(value.toPrecision(6)))]);
  }
  return found;
}
