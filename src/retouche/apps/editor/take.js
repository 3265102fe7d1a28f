// What a file is that came in: a picture, a mask or sketch for the open one, a sidecar, a folder's worth.

import { bitmapOf, bytesOf } from "./decode.js";
import { openNetwork } from "./models.js";
import { called, fromFiles } from "./folder.js";
import { openPicture, unreadable } from "./open.js";
import { replay } from "./sidecar.js";
import { t } from "./strings.js";
import { openFolder } from "./walk.js";
import { say, sayError, takes, update, work } from "./work.js";

/** Whatever was dropped, pasted or chosen. @param {File} file */
export async function take(file) {
  try {
    if (/\.json$/i.test(file.name) || file.type === "application/json")
      return await replay(JSON.parse(await file.text()));
    if (isNetwork(file)) {
      await openNetwork(file);
      return true;
    }
    if (work.document && (await takeMask(file))) return true;
    return await openPicture(file, file.name || "pasted.png");
  } catch (error) {
    sayError(unreadable(error) ? t("open.unreadable", { name: file.name }) : error);
    return false;
  }
}

/** @param {File} file @returns {boolean} whether it is an exported network */
const isNetwork = (file) => /\.onnx$/i.test(file.name);

/** Several files at once: a picture and what belongs to it, or pictures to walk through. @param {File[]} files */
export async function takeAll(files) {
  const pictures = files.filter((file) => !called(file.name) && !/\.json$/i.test(file.name) && !isNetwork(file));
  if (pictures.length > 1) {
    if ((await openFolder(fromFiles(pictures))) && pictures.length < files.length)
      say(t("open.leftout"), true);
    return;
  }
  // the picture before its mask, and a sidecar last, whatever the order they came in
  const rank = (file) => (/\.json$/i.test(file.name) ? 2 : called(file.name) || isNetwork(file) ? 1 : 0);
  for (const file of [...files].sort((one, two) => rank(one) - rank(two))) await take(file);
}

/** A picture of the open one's size in black and white, or called a mask, is one. @param {File} file */
async function takeMask(file) {
  const { document } = work,
    kind = called(file.name);
  let bitmap;
  try {
    bitmap = await bitmapOf(file);
  } catch {
    return false; // the server may be able to show it
  }
  const fits = bitmap.width === document.width && bitmap.height === document.height;
  if (!fits) {
    if (!kind) return false;
    const { width, height } = bitmap;
    throw new Error(t("mask.size", { name: file.name, width, height, across: document.width, down: document.height }));
  }
  const rgba = bytesOf(bitmap),
    bytes = new Uint8Array(rgba.length / 4);
  let plain = true;
  for (let at = 0; at < bytes.length; at++) {
    const red = rgba[at * 4],
      green = rgba[at * 4 + 1],
      blue = rgba[at * 4 + 2];
    bytes[at] = Math.round((red * 299 + green * 587 + blue * 114) / 1000);
    if (red !== green || green !== blue || (red > 0 && red < 255)) plain = false;
  }
  if (!plain && !kind) return false;
  const sketch = kind === "sketch" && takes("sketch");
  document.setMask(document.box, bytes, sketch ? "load sketch" : "load mask", sketch ? "sketch" : "mask");
  say(t(sketch ? "sketch.taken" : "mask.taken", { name: file.name }));
  update();
  return true;
}
