// The spectrum, with a handle that truncates the latent to its first axes.

import { get, latest } from "../api.js";
import { el, facts, svg } from "../dom.js";
import { percent, short, tiles } from "../items.js";
import { plot, ticks } from "../plot.js";

// Variances below this share of the largest are rounding.
const FLOOR = 1e-8;
// Ranks whose errors are measured for the curve when the view is opened: most of them are small, where errors fall.
const CURVE = 12;

export function spectrumView(run) {
  const variances = run.deviations.map((value) => (value / run.deviations[0]) ** 2);
  const size = variances.length;
  const errors = new Map();
  const items = el("div", {});
  const numbers = el("div", {});
  let rank = Math.min(run.evaluated.rank ?? run.axes, run.axes);
  let whole = null;

  const spectrum = plot({
    label: "Variance along each axis, relative to the largest, on a logarithmic scale",
    xTitle: "axis",
    yTitle: "variance, relative to the largest",
    properties: { class: "plot draggable", onpointerdown: drag, onpointermove: drag },
  });
  const curve = plot({ label: "Error on test items by rank", xTitle: "axes kept", yTitle: "error on test items", height: 220 });

  function drag(event) {
    if (event.buttons !== 1) return;
    event.preventDefault();
    const place = event.clientX - event.currentTarget.getBoundingClientRect().left;
    set(Math.max(0, Math.min(run.axes, Math.round(spectrum.scales.xOf(place) - 0.5))));
  }

  function handle({ x, box }) {
    return svg("line", { class: "handle", x1: x(rank + 0.5), x2: x(rank + 0.5), y1: box.top, y2: box.bottom });
  }

  function drawSpectrum() {
    const low = Math.floor(Math.log10(Math.max(FLOOR, Math.min(...variances))));
    const bottom = Math.min(low, -1);
    const powers = [];
    for (let power = 0; power >= bottom; power -= bottom < -4 ? 2 : 1) powers.push([power, power ? `1e${power}` : "1"]);
    spectrum.show({
      x: [0.5, size + 0.5],
      y: [bottom, 0.3],
      xTicks: ticks(1, size).filter(([value]) => Number.isInteger(value)),
      yTicks: powers,
      draw: (scales) => {
        const unused = scales.x(run.axes + 0.5);
        const dots = variances.map((value, index) => {
          const height = Math.max(Math.log10(Math.max(value, 1e-300)), bottom);
          return svg("circle", { class: "dot", cx: scales.x(index + 1), cy: scales.y(height), r: size > 60 ? 2 : 3.5 });
        });
        const shade = { class: "unused", x: unused, y: scales.box.top, width: Math.max(0, scales.box.right - unused) };
        return [svg("rect", { ...shade, height: scales.box.bottom - scales.box.top }), dots, handle(scales)];
      },
    });
  }

  function drawCurve() {
    const known = [...errors].filter(([, error]) => error !== null).sort((a, b) => a[0] - b[0]);
    curve.element.hidden = known.length === 0;
    if (!known.length) return;
    const highest = Math.max(...known.map(([, error]) => error)) || 1;
    curve.show({
      x: [-0.5, run.axes + 0.5],
      y: [0, highest * 1.05],
      xTicks: ticks(0, run.axes).filter(([value]) => Number.isInteger(value)),
      yTicks: ticks(0, highest, 4).map(([value]) => [value, short(value)]),
      draw: ({ x, y, box }) => [
        svg("polyline", { class: "curve", points: known.map(([at, error]) => `${x(at)},${y(error)}`).join(" ") }),
        known.map(([at, error]) => svg("circle", { class: "dot", cx: x(at), cy: y(error), r: 3 })),
        svg("line", { class: "handle", x1: x(rank), x2: x(rank), y1: box.top, y2: box.bottom }),
      ],
    });
  }

  async function measured(at) {
    const found = await get("truncation", { rank: at });
    errors.set(at, found.error);
    return found;
  }

  const show = latest(async () => {
    const wanted = rank;
    whole ??= { all: await measured(run.axes), originals: await originals() };
    const found = await measured(wanted);
    const missing = "not known, because no test items are there";
    numbers.replaceChildren(
      facts([
        ["axes kept", `${wanted} of ${run.axes}${run.axes < run.latent_dim ? ` in use, of ${run.latent_dim}` : ""}`],
        ["variance of the latents kept", percent(found.variance)],
        [`error on ${run.measured} test items`, found.error === null ? missing : short(found.error)],
        ["error with all axes", short(whole.all.error)],
      ]),
    );
    const rows = [["items", whole.originals], [`first ${wanted} axes`, found.items], ["all axes", whole.all.items]];
    items.replaceChildren(
      ...rows.flatMap(([title, shown]) => (shown === null ? [] : [el("h3", {}, title), tiles(run, shown, null, title, "eight")])),
    );
    drawCurve();
  });

  async function originals() {
    if (!run.start.items) return null;
    const count = Math.min(8, run.start.count);
    const found = await Promise.all(Array.from({ length: count }, (_, index) => get("item", { split: "start", index })));
    return found.map((each) => each.item);
  }

  const fillCurve = latest(async () => {
    for (let at = 0; at < CURVE; at++) await measured(Math.round((run.axes + 1) ** (at / CURVE)) - 1);
    drawCurve();
  });

  function set(value) {
    rank = value;
    slider.value = rank;
    output.textContent = rank;
    drawSpectrum();
    show();
  }

  const slider = el("input", { type: "range", min: 0, max: run.axes, step: 1, value: rank });
  slider.addEventListener("input", () => set(slider.valueAsNumber));
  const output = el("output", {}, String(rank));
  set(rank);
  fillCurve();
  return el(
    "div",
    {},
    el(
      "p",
      {},
      "Keep only the first axes: drag the line in the plot, or use the slider. The other axes are decoded at their means, ",
      "as by lorae truncate. Shaded axes are not in use.",
    ),
    el("div", { class: "controls" }, el("label", { class: "wide" }, "Axes kept", slider, output)),
    el("div", { class: "columns" }, el("div", {}, spectrum.element, curve.element), el("div", {}, numbers, items)),
  );
}
