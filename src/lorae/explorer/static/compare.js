// Several items side by side: pictures, or for vectors a table of their columns.

import { button, el, select, svg } from "./dom.js";
import { breakableName, decoded, figure, inUnits, standardized } from "./items.js";

// Rows of the table before the others are asked for.
const ROWS = 30;
const REACH = 4;

// Each returns an element and a function that shows a list of [title, item]; items that are null are left out.
export function comparison(run, title) {
  return run.kind === "vectors" ? columnTable(run, title) : pictures(run);
}

export function pictures(run) {
  const element = el("div", { class: "row" });
  return {
    element,
    show(entries) {
      const shown = entries.filter(([, item]) => item !== null);
      const figures = shown.map(([name, item]) => figure(run, item, name));
      figures.forEach((each) => each.classList.add("big"));
      element.replaceChildren(...figures);
    },
  };
}

export function columnTable(run, title) {
  const element = el("div", {});
  let order = "data";
  let all = false;
  let entries = [];
  const size = run.shape[0];
  const sorting = select("Order", [["data", "of the data"], ["difference", "largest difference first"]], order, (value) => {
    order = value;
    draw();
  });
  const more = button(`Show all ${size} columns`, () => {
    all = true;
    draw();
  });
  const place = el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title });
  element.append(el("div", { class: "controls" }, sorting.element), place, more);

  function draw() {
    const values = entries.map(([, item]) => decoded(item));
    const scaled = values.map((each) => standardized(run, each));
    const last = scaled.length - 1;
    const rows = Array.from({ length: size }, (_, index) => index);
    const difference = (index) => Math.abs(scaled[last][index] - scaled[0][index]);
    if (order === "difference") rows.sort((a, b) => difference(b) - difference(a));
    const shown = all ? rows : rows.slice(0, ROWS);
    const head = el(
      "tr",
      {},
      ["column", ...entries.map(([name]) => name), "in devi\u00adations"].map((name, place) =>
        el("th", { scope: "col", class: classOf(place) }, name.replace("reconstr", "recon\u00adstr")),
      ),
    );
    const body = shown.map((index) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, breakableName(run, index)),
        values.map((each) => el("td", {}, inUnits(each[index], run.units.scale[index]))),
        el("td", { class: "bars" }, barsOf([scaled[0][index], scaled[last][index]].slice(0, scaled.length), entries)),
      ),
    );
    place.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, body)));
    more.hidden = all || size <= ROWS;
  }

  // The colors of the titles are those of the bars.
  function classOf(place) {
    if (place === 1) return "first";
    return place === entries.length ? "other" : null;
  }

  return {
    element,
    show(given) {
      entries = given.filter(([, item]) => item !== null);
      draw();
    },
  };
}

// Bars of one column, the first item above the last one.
function barsOf(values, entries) {
  const width = 2 * REACH;
  const drawn = values.map((value, row) => {
    const end = Math.max(-REACH, Math.min(REACH, Number.isFinite(value) ? value : 0));
    const x = REACH + Math.min(end, 0);
    return svg("rect", { class: row ? "bar other" : "bar", x, y: (values.length === 1 ? 0.6 : 0.15) + row * 0.9, width: Math.abs(end), height: 0.75 });
  });
  const zero = svg("line", { class: "zero", x1: REACH, x2: REACH, y1: 0, y2: 2, "vector-effect": "non-scaling-stroke" });
  const names = entries.map(([name]) => name);
  const label = values.map((value, row) => `${row ? names[names.length - 1] : names[0]} ${value.toFixed(2)}`).join(", ");
  const properties = { viewBox: `0 0 ${width} 2`, preserveAspectRatio: "none", role: "img" };
  return svg("svg", { ...properties, "aria-label": label }, drawn, zero);
}

// The code of an item as bars, one for each of the first axes, in deviations.
export function codeBars(run, code) {
  const shown = Math.min(code.length, 16);
  const rows = code.slice(0, shown).map((value, index) => {
    const scaled = value / run.deviations[index];
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, `axis ${index + 1}`),
      el("td", {}, scaled.toFixed(2)),
      el("td", { class: "bars" }, barsOf([scaled], [[`axis ${index + 1}`]])),
    );
  });
  const head = ["code", "value", "bar"].map((name) => el("th", { scope: "col" }, name));
  const table = el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
  const left = code.length - shown;
  const words = `Values are in deviations of the training items.${left ? ` ${left} further axes are not shown.` : ""}`;
  return el("div", {}, el("div", { class: "scroll" }, table), el("p", { class: "muted" }, words));
}
