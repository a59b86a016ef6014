// An item of numbers: a field for each column of vectors, and a row of numbers as text for every kind.

import { get, latest, report } from "../api.js";
import { button, el } from "../dom.js";
import { breakableName, columnName, decoded } from "../items.js";
import { picker } from "../picker.js";

// Fields before the others are asked for; each is an element of the page.
const FIELDS = 30;
const MOST_BYTES = 4 * 2 ** 20;

export function numbersForm(run, onvalues) {
  const size = run.shape.reduce((product, side) => product * side, 1);
  const rows = el("tbody", {});
  const inputs = [];
  let values = [];

  function set(given) {
    values = given;
    inputs.forEach((input, index) => { input.value = shownValue(index); });
    onvalues(values);
  }

  // Seven digits, which float32 has; more for columns far from zero.
  function shownValue(index) {
    const far = Math.abs(run.units.mean[index]) > 1e4 * run.units.scale[index];
    return Number((values[index] ?? 0).toPrecision(far ? 15 : 7));
  }

  function addFields(count) {
    while (inputs.length < Math.min(count, size)) {
      const index = inputs.length;
      const name = columnName(run, index);
      const input = el("input", { type: "number", step: "any", value: shownValue(index), "aria-label": name });
      input.addEventListener("input", () => {
        if (!Number.isFinite(input.valueAsNumber)) return;
        values[index] = input.valueAsNumber;
        onvalues(values);
      });
      inputs.push(input);
      rows.append(el("tr", {}, el("th", { scope: "row" }, breakableName(run, index)), el("td", {}, input)));
    }
    more.hidden = inputs.length === size;
  }

  const more = button(`Show all ${size} columns`, () => addFields(size));
  const load = latest(async (index) => {
    const found = await get("item", { split: "start", index });
    set(Array.from(decoded(found.item ?? found.reconstruction)));
  });
  const text = el("textarea", { spellcheck: "false" });
  const use = button("Use these numbers", () => {
    try {
      set(parsed(run, text.value, size));
      report("");
    } catch (error) {
      report(error.message);
    }
  });
  const read = latest(async (given) => {
    if (given.size > MOST_BYTES) throw new Error("Refused: the file is larger than 4 MiB.");
    text.value = (await given.text()).split(/\r?\n/).slice(0, 2).join("\n");
    set(parsed(run, text.value, size));
  });
  const file = el("input", { type: "file", accept: ".csv,.txt,text/csv,text/plain" });
  file.addEventListener("change", () => file.files.length && read(file.files[0]));
  const start = picker(run.start, "Start from test item", 0, load);
  const table = el("div", { class: "scroll" });
  if (run.kind === "vectors") {
    addFields(FIELDS);
    const head = ["column", "value"].map((name) => el("th", { scope: "col" }, name));
    table.append(el("table", {}, el("thead", {}, el("tr", {}, head)), rows));
  }
  load(0);
  const order = run.columns.length ? "with a line of column names above them, or in the order of the data" : "in the order of the data";
  return el(
    "div",
    {},
    el("p", {}, "Change numbers of an item, or give your own, to see its code, its reconstruction and how unusual it is."),
    el("div", { class: "controls" }, start.element),
    table,
    run.kind === "vectors" ? more : null,
    el("h3", {}, "A row of numbers"),
    el("label", {}, `${size} numbers with commas, ${order}`, text),
    el("div", { class: "controls" }, use, el("label", {}, "CSV file, first row", file)),
  );
}

// The numbers of a text: one row, perhaps below a line with the names of all columns.
function parsed(run, text, size) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const cells = lines.map((line) => line.split(/[,;\t]/).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
  if (!cells.length) throw new Error(`Refused: expected ${size} numbers, got none.`);
  const named = cells[0].some((cell) => cell === "" || !Number.isFinite(Number(cell)));
  let row = named ? cells[1] : cells[0];
  if (row === undefined) throw new Error("Refused: the first line holds names, and there is no line of numbers below it.");
  if (named && run.columns.length) {
    const missing = run.columns.filter((name) => !cells[0].includes(name));
    if (missing.length) throw new Error(`Refused: no column is named ${missing[0]}.`);
    row = run.columns.map((name) => row[cells[0].indexOf(name)]);
  }
  const numbers = row.map((cell) => (cell === "" || cell === undefined ? NaN : Number(cell)));
  const wrong = numbers.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new Error(`Refused: "${row[wrong] ?? ""}" in column ${wrong + 1} is no number.`);
  if (numbers.length !== size) throw new Error(`Refused: expected ${size} numbers, got ${numbers.length}.`);
  return numbers;
}
