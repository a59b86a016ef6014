// An item of the user: a picture from a file or drawn, or numbers; its code, reconstruction and error.

import { get, latest, post, postPicture } from "../api.js";
import { codeBars, comparison } from "../compare.js";
import { el, facts } from "../dom.js";
import { percent, short } from "../items.js";
import { drawingPad } from "./pad.js";
import { numbersForm } from "./numbers.js";

export function ownView(run) {
  const shown = comparison(run, "Columns of your item and of its reconstruction");
  const result = el("div", {});

  function show(found) {
    shown.show([["your item", found.item], ["reconstruction", found.reconstruction]]);
    const waiting = "training items are still being measured";
    result.replaceChildren(
      shown.element,
      facts([
        ["error", short(found.error)],
        ["items of the data with a smaller error", found.share === null ? waiting : percent(found.share)],
        ["anomaly score", found.anomaly === null ? waiting : short(found.anomaly)],
      ]),
      el(
        "p",
        { class: "muted" },
        run.kind === "images" ? "The error is the mean squared error of a pixel in [0, 1]. " : "The error is the mean squared error in deviations. ",
        "The anomaly score is the error relative to that which a tenth of the training items exceed: above 1 an item is unusual.",
      ),
      codeBars(run, found.code),
    );
  }

  const form = run.kind === "images" ? pictureForm(run, show) : numbersForm(run, latest(async (values) => show(await post("item", { values }))));
  return el("div", { class: "columns" }, form, result);
}

function pictureForm(run, show) {
  const most = Math.round(run.picture.bytes / 2 ** 20);
  const send = latest(async (blob, drawn) => show(await postPicture(blob, drawn)));
  const upload = latest(async (file) => {
    if (file.size > run.picture.bytes) throw new Error(`Refused: the file is larger than ${most} MiB.`);
    show(await postPicture(file, false));
  });
  const file = el("input", { type: "file", accept: "image/*", onchange: () => file.files.length && upload(file.files[0]) });
  latest(async () => show(await get("item", { split: "start", index: 0 })))();
  return el(
    "div",
    {},
    el("p", {}, "Upload a picture or draw one. It is prepared as the images of the training. The first test item is shown until then."),
    el("div", { class: "controls" }, el("label", {}, "Picture", file)),
    el("p", { class: "muted" }, `${run.picture.formats.join(", ")}; at most ${most} MiB and 16 million pixels.`),
    drawingPad(run, (blob) => send(blob, true)),
  );
}
