// A pad to draw on with a pointer or with the keyboard.

import { button, el, select } from "../dom.js";

const SIDE = 256;
const STEP = 8;

export function drawingPad(run, ondrawn) {
  const [channels, height, width] = run.shape;
  const high = Math.round((SIDE * height) / width);
  const label = "Drawing. Arrow keys move the pen, space lowers and lifts it.";
  const canvas = el("canvas", { class: "pad", width: SIDE, height: high, tabindex: 0, role: "application", "aria-label": label });
  const context = canvas.getContext("2d");
  const place = el("p", { class: "muted", role: "status" });
  let pen = [SIDE / 2, high / 2];
  let down = false;

  const colors = [["#ffffff", "white on black"], ["#000000", "black on white"]];
  const ink = select("Colors", colors, colors[0][0], clear);
  const color = channels === 3 ? el("input", { type: "color", value: "#ff5533" }) : null;
  const size = el("input", { type: "range", min: 4, max: 48, value: 20 });

  function clear() {
    context.fillStyle = ink.list.value === "#ffffff" ? "#000000" : "#ffffff";
    context.fillRect(0, 0, SIDE, high);
    down = false;
    place.textContent = "";
  }

  function line(to) {
    context.strokeStyle = color === null ? ink.list.value : color.value;
    context.lineWidth = size.valueAsNumber;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...pen);
    context.lineTo(...to);
    context.stroke();
    pen = to;
  }

  function send() {
    canvas.toBlob(ondrawn, "image/png");
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * high];
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pen = at(event);
    line(pen);
    send();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons !== 1) return;
    line(at(event));
    send();
  });

  const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") down = !down;
    else if (event.key in moves) {
      const [x, y] = moves[event.key];
      const to = [Math.max(0, Math.min(SIDE, pen[0] + x)), Math.max(0, Math.min(high, pen[1] + y))];
      if (down) line(to);
      pen = to;
    } else return;
    event.preventDefault();
    if (down) {
      line(pen);
      send();
    }
    place.textContent = `pen ${down ? "down" : "up"} at ${Math.round(pen[0])}, ${Math.round(pen[1])}`;
  });

  clear();
  return el(
    "div",
    {},
    el("h3", {}, "Draw"),
    canvas,
    place,
    el(
      "div",
      { class: "controls" },
      ink.element,
      color === null ? null : el("label", {}, "Ink", color),
      el("label", {}, "Pen", size),
      button("Clear", clear),
      button("Encode the drawing", send),
    ),
  );
}
