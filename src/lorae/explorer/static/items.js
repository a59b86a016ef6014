// Items as pictures: images as they are, vectors as bars, signals as lines, other tensors as heat maps.

import { el, svg } from "./dom.js";

// Deviations at which bars, lines and colors of numbers end.
const REACH = 4;
const BARS = 64;
const LINES = 6;

export function decoded(given) {
  const key = given.pixels === undefined ? "numbers" : "pixels";
  const bytes = Uint8Array.from(atob(given[key]), (letter) => letter.charCodeAt(0));
  return key === "pixels" ? bytes : new Float64Array(bytes.buffer);
}

// Numbers in deviations from the mean of their column or channel.
export function standardized(run, values) {
  const each = values.length / run.units.mean.length;
  return Array.from(values, (value, index) => {
    const unit = Math.floor(index / each);
    return (value - run.units.mean[unit]) / run.units.scale[unit];
  });
}

export function columnName(run, index) {
  return run.columns[index] ?? `column ${index + 1}`;
}

// A column's name that may be broken after its separators, on a telephone.
export function breakableName(run, index) {
  return columnName(run, index).split(/(?<=[_/.\-])/).flatMap((part, place) => (place ? [el("wbr"), part] : [part]));
}

// A number with as many digits as its column's deviation asks for.
export function inUnits(value, scale) {
  if (!Number.isFinite(value)) return "not finite";
  const digits = 2 - Math.floor(Math.log10(scale));
  return digits > 8 ? value.toPrecision(4) : value.toFixed(Math.max(0, digits));
}

export function short(value) {
  if (value === null || value === undefined) return null;
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

export function percent(share) {
  if (share > 0.99999 && share < 1) return "over 99.999%";
  return `${(100 * share).toFixed(share > 0.999 && share < 1 ? 3 : 1)}%`;
}

export function picture(run, given, label) {
  const values = decoded(given);
  if (run.kind === "images") return imageCanvas(run.shape, values, label);
  const scaled = standardized(run, values);
  if (run.kind === "vectors") return scaled.length > BARS ? lines([scaled], label) : bars(scaled, label);
  const [height, width] = run.shape.slice(-2);
  const rows = Array.from({ length: scaled.length / width }, (_, row) => scaled.slice(row * width, (row + 1) * width));
  if (run.shape.length === 2 && rows.length <= LINES) return lines(rows, label);
  return heatMap(run.shape.length === 2 ? rows : sideBySide(rows, height, width), label);
}

// The slices of a tensor of three or more axes, given by their rows, as the rows of one nearly square map.
function sideBySide(rows, height, width) {
  const count = rows.length / height;
  const across = Math.ceil(Math.sqrt((count * height) / width));
  const empty = Array(width).fill(NaN);
  return Array.from({ length: Math.ceil(count / across) * height }, (_, row) => {
    const first = Math.floor(row / height) * across;
    const slices = Array.from({ length: Math.min(across, count) }, (__, slice) => first + slice);
    return slices.flatMap((slice) => rows[slice * height + (row % height)] ?? empty);
  });
}

export function figure(run, given, caption, label = caption) {
  if (given === null) return null;
  return el("figure", {}, picture(run, given, label), caption ? el("figcaption", {}, caption) : null);
}

export function tiles(run, items, captions, title, extra = "") {
  const shown = items.map((item, index) => figure(run, item, captions?.[index], `${title} ${index + 1}`));
  return el("div", { class: `tiles ${extra}` }, shown);
}

function imageCanvas([channels, height, width], pixels, label) {
  const canvas = el("canvas", { width, height, role: "img", "aria-label": label });
  const image = new ImageData(width, height);
  const size = width * height;
  for (let place = 0; place < size; place += 1) {
    for (let color = 0; color < 3; color += 1) {
      image.data[4 * place + color] = pixels[(channels === 3 ? color * size : 0) + place];
    }
    image.data[4 * place + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function clipped(value) {
  return Number.isFinite(value) ? Math.max(-REACH, Math.min(REACH, value)) : 0;
}

function frame(width, label, ...content) {
  const line = svg("line", { class: "zero", x1: 0, x2: width, y1: REACH, y2: REACH, "vector-effect": "non-scaling-stroke" });
  const properties = { class: "item", viewBox: `0 0 ${width} ${2 * REACH}`, preserveAspectRatio: "none", role: "img" };
  const made = svg("svg", { ...properties, "aria-label": label }, line, ...content);
  made.style.aspectRatio = "3 / 2";
  return made;
}

function bars(values, label) {
  const drawn = values.map((value, index) => {
    const height = clipped(value);
    const y = REACH - Math.max(height, 0);
    return svg("rect", { class: "bar", x: index + 0.1, y, width: 0.8, height: Math.abs(height) });
  });
  return frame(values.length, label, ...drawn);
}

function lines(rows, label) {
  const width = Math.max(rows[0].length - 1, 1);
  const drawn = rows.map((row, index) => {
    const places = row.map((value, x) => `${x},${REACH - clipped(value)}`).join(" ");
    return svg("polyline", { class: rows.length > 1 ? `curve c${index}` : "curve", points: places });
  });
  return frame(width, label, ...drawn);
}

function heatMap(rows, label) {
  const canvas = el("canvas", { width: rows[0].length, height: rows.length, role: "img", "aria-label": label });
  const image = new ImageData(rows[0].length, rows.length);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const middle = dark ? [29, 34, 41] : [244, 246, 248];
  rows.flat().forEach((value, place) => {
    const end = value < 0 ? [43, 123, 186] : [213, 94, 0];
    const share = Math.abs(clipped(value)) / REACH;
    for (let color = 0; color < 3; color += 1) {
      image.data[4 * place + color] = middle[color] + share * (end[color] - middle[color]);
    }
    image.data[4 * place + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
