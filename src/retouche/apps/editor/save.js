// How results go out: the server puts the changed pixels into the source's own file, so that format, depth, profile and
// metadata stay; masks as lossless PNG; a sidecar that does the same again; the line for the shell.

import * as api from "./api.js";
import * as browser from "./browser/engine.js";
import { savePNG } from "./browser/saved.js";
import { bodyOf, packed, patchesOf } from "./deep.js";
import { encodePNG } from "./png.js";
import { t } from "./strings.js";
import { device, dilation, download, element, say, sayError, stem, update, work } from "./work.js";

const MOST_PATCHES = 1000;
let asked = null; // the document for which replacing a file was asked

/** @param {any} document @param {boolean} [whole] with the picture in it */
async function sidecarOf(document, whole = false) {
  const { name, width, height, blob } = document.source;
  const fills = [];
  for (const fill of document.fills) {
    const { dilate, feather, seed, context, device } = fill.options,
      { report } = fill;
    fills.push({
      model: fill.model,
      model_hash: report.model_hash ?? null,
      dilate,
      feather,
      seed,
      context,
      ...(device && { device }),
      strategy: report.strategy ?? null,
      seconds: report.seconds,
      box: fill.box,
      crops: report.crops?.map(({ sent: { left, top, right, bottom } }) => [left, top, right, bottom]),
      mask: await api.base64(fill.mask),
      ...(fill.sketch && { sketch: await api.base64(fill.sketch) }),
      ...(fill.hidden && { hidden: true }),
      over: fill.seen?.map((each) => document.fills.indexOf(each)).filter((at) => at >= 0),
    });
  }
  const source = {
    name,
    width,
    height,
    ...(blob && crypto.subtle && { sha256: await sha256(blob) }),
    ...(whole && blob && { data: await api.base64(blob) }),
  };
  return { format: "retouche-edit 1", retouche: work.config.version, source, fills };
}

/** @param {Blob} blob @returns {Promise<string>} in hexadecimal digits */
export async function sha256(blob) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What differs from the source, as files. @param {any} document @returns {Promise<import("./deep.js").Patch[]>} */
async function changesOf(document) {
  const patches = [];
  for (const { box, rgb, inside } of document.changed()) {
    const width = box.right - box.left,
      height = box.bottom - box.top;
    const image = await encodePNG(width, height, 3, rgb);
    patches.push({ box, image, mask: await encodePNG(width, height, 1, inside) });
  }
  return patches;
}

/** The source's file with the changes in it. @param {any} document @returns {Promise<Blob>} */
export async function fileOf(document) {
  if (!document.layers.pixels.tiles.size) return document.source.blob;
  return (await api.ask("/api/v1/save", { method: "POST", body: await changedBody(document) })).blob();
}

/** What asks the server to put the changes into the source's own file. @param {any} document @returns {Promise<FormData>} */
export async function bodyFor(document) {
  const { source } = document,
    body = await changedBody(document);
  if (work.config.output) {
    body.append("output", source.path ?? source.name);
    body.append("sidecar", JSON.stringify(await sidecarOf(document)));
  }
  return body;
}

/** @param {any} document @returns {Promise<FormData>} */
async function changedBody(document) {
  const { source } = document,
    patches = await packed(source.deep ? patchesOf(document.visible) : await changesOf(document));
  if (patches.length > MOST_PATCHES)
    throw new Error(t("save.many"));
  const body = bodyOf(source);
  body.append("patches", JSON.stringify(patches));
  return body;
}

const SUFFIX = {
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/webp": "webp",
  "image/tiff": "tif",
  "image/bmp": "bmp",
  "image/avif": "avif",
  "image/heic": "heic",
  "image/jxl": "jxl",
};

/**
 * A result's name: the source's, with the suffix of what the file is.
 * @param {string} name @param {Blob} blob @param {string} mark before the suffix
 */
export function fileName(name, blob, mark) {
  const given = /\.([a-z]+)$/i.exec(name)?.[1],
    kind = SUFFIX[blob.type] ?? "png",
    media = given && `image/${given.toLowerCase().replace(/^jpg$/, "jpeg").replace(/^tif$/, "tiff")}`;
  return `${name.replace(/\.[^./]*$/, "")}${mark}.${kind === SUFFIX[media] ? given : kind}`;
}

export async function save() {
  const { document } = work;
  if (!document) return false;
  const { source } = document,
    { output } = work.config;
  try {
    const body = await bodyFor(document);
    if (output && asked === document) body.append("overwrite", "true");
    const response = await api.ask("/api/v1/save", { method: "POST", body });
    if (output) say(t("save.folder", { name: (await response.json()).saved[0] }));
    else {
      const blob = await response.blob();
      // of a folder, each picture keeps its name: the result takes its place elsewhere
      const name = fileName(source.name.replace(/^.*\//, ""), blob, source.listed ? "" : "_filled");
      download(blob, name);
      say(t("save.done", { name }));
    }
    wasSaved(document);
    asked = output ? document : null;
    return true;
  } catch (error) {
    const name = error.status === 0 ? await savePNG(document) : null;
    if (name !== null) {
      say(t("browser.saved", { name }));
      wasSaved(document);
      return true;
    }
    if (error.status === 409) {
      asked = document;
      say(t("save.exists", { name: source.path ?? source.name }), true);
    } else sayError(error);
    return false;
  }
}

/** @param {import("./document.js").Document} document */
function wasSaved(document) {
  document.saved = document.visible;
  document.made = false;
  document.tell("steps", null); // so that what is kept knows it, too
  update();
}

export async function saveMask() {
  const { document } = work;
  if (!document) return;
  const blob = await encodePNG(document.width, document.height, 1, document.layers.mask.read(document.box));
  download(blob, `${stem(document.source.name)}_mask.png`);
}

/** @param {boolean} [whole] with the picture: one file that replays elsewhere */
export async function saveSidecar(whole = false) {
  const { document } = work;
  if (!document) return;
  const text = JSON.stringify(await sidecarOf(document, whole), null, 1);
  download(new Blob([text], { type: "application/json" }), `${stem(document.source.name)}.retouche.json`);
}

export async function copyPicture() {
  const { document } = work;
  if (!document) return;
  try {
    // a promise of the file, for the browser asks within the key press whether it may
    const png = encodePNG(document.width, document.height, 4, document.read(document.box));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    say(t("copy.done"));
  } catch {
    say(t("copy.refused"), true);
  }
}

/** @param {string} word @returns {string} as a shell reads it */
const quoted = (word) => (/^[\w./:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** The same fill on the command line. */
export function command() {
  const { document, settings } = work;
  if (!document) return "";
  const { name } = document.source,
    suffix = /\.[^.]*$/.exec(name)?.[0] ?? ".png";
  const words = ["retouche", "run", "--image", name, "--mask", `${stem(name)}_mask.png`];
  words.push("--output", `${stem(name)}_filled${suffix}`, "--model", browser.fileName(settings.model ?? "default"));
  words.push("--dilate", String(dilation()));
  if (settings.feather !== null) words.push("--feather", String(settings.feather));
  if (settings.seed) words.push("--seed", String(settings.seed));
  if (device()) words.push("--device", device());
  if (document.layers.sketch.tiles.size) words.push("--sketch", `${stem(name)}_sketch.png`);
  return words.map(quoted).join(" ");
}

export async function copyCommand() {
  try {
    await navigator.clipboard.writeText(command());
    say(t("copy.command"));
  } catch {
    getSelection()?.selectAllChildren(element("command"));
    say(t("copy.selected"));
  }
}
