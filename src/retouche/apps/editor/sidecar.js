// A sidecar done again on the open picture, or on the one that it brings.

import { label, modelOf } from "./browser/engine.js";
import { drop } from "./choice.js";
import { bitmapOf, bytesOf } from "./decode.js";
import { fill } from "./fill.js";
import { openPicture } from "./open.js";
import { sha256 } from "./save.js";
import { t } from "./strings.js";
import { say, work } from "./work.js";

let doubted = ""; // the sidecar and picture about which was asked

/** Whether a sidecar may be used on the open picture; asks once where it was made for another. @param {any} source */
async function belongs({ sha256: wanted, name }) {
  const { blob } = work.document.source;
  if (!wanted || !blob || !crypto.subtle) return true;
  const found = await sha256(blob);
  if (found === wanted || doubted === `${wanted} ${found}`) return true;
  doubted = `${wanted} ${found}`;
  say(t("sidecar.other", { name }), true);
  return false;
}

/** Do again what a sidecar tells, on the open picture. @param {any} sidecar */
export async function replay(sidecar) {
  const { document } = work;
  if (!String(sidecar.format).startsWith("retouche-edit"))
    throw new Error(t("sidecar.none"));
  const { data, name } = sidecar.source;
  if (!document && data) {
    const opened = await openPicture(new Blob([bytesFrom(data)]), name);
    return opened && replay(sidecar);
  }
  if (!document) throw new Error(t("sidecar.first"));
  const { width, height } = sidecar.source;
  if (width !== document.width || height !== document.height)
    throw new Error(t("sidecar.size", { width, height, across: document.width, down: document.height }));
  if (!(await belongs(sidecar.source))) return false;
  drop();
  const made = [];
  for (const [index, step] of sidecar.fills.entries()) {
    // each sees the fills beneath that it saw the first time
    for (const [at, each] of made.entries()) document.reveal(each, step.over?.includes(at) ?? true);
    say(t("sidecar.at", { at: index + 1, count: sidecar.fills.length, model: label(step.model) }));
    document.clear("mask");
    document.setMask(step.box, await greyOf(step.mask), "load mask");
    if (step.sketch) document.setMask(step.box, await greyOf(step.sketch), "load sketch", "sketch");
    if (!(await fill({ ...step, model: modelOf(step) }))) return false;
    made.push(document.fills[document.fills.length - 1]);
  }
  for (const [at, each] of made.entries()) document.reveal(each, !sidecar.fills[at].hidden);
  say(t("sidecar.done", { count: sidecar.fills.length }));
  return true;
}

/** @param {string} text base64 */
const bytesFrom = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

/** @param {string} text base64 of a grey PNG @returns {Promise<Uint8Array>} */
async function greyOf(text) {
  const rgba = bytesOf(await bitmapOf(new Blob([bytesFrom(text)], { type: "image/png" })));
  return Uint8Array.from({ length: rgba.length / 4 }, (_, at) => rgba[at * 4]);
}
