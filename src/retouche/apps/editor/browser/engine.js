// Fills of this browser: the models it offers, and a worker that fills with them, one hole after the other.

import * as api from "../api.js";
import * as raster from "../raster.js";
import { t } from "../strings.js";
import { work } from "../work.js";
import { factsOf } from "./facts.js";
import * as shelf from "./shelf.js";
import { partsOf } from "./windows.js";

/** @typedef {import("../raster.js").Box} Box @typedef {import("./shelf.js").Row} Row */
/** @typedef {{state: string, place: number | null, fraction: number | null}} State */

const PREFIX = "browser:"; // of a model's name, here and in sidecars
const RUNTIME = "retouche browser"; // where the runtime was, for a page without its server

// The models ----------------------------------------------------------------------------------------------------------

/** What a model is called in words. @param {string} name */
export const label = (name) => (name?.startsWith(PREFIX) ? t("browser.name", { name: name.slice(PREFIX.length) }) : name);

/** What the command line knows a model by. @param {string} name */
export const fileName = (name) => (name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name);

/** Whether a model of this name fills in this browser, where no seed changes anything. @param {string} name */
export const isHere = (name) => name.startsWith(PREFIX);

/** Where ONNX Runtime Web is, as long as the server offers it. @returns {string | null} */
export const runtime = () => work.config.browser?.runtime ?? null;

/**
 * A file as the list of models has it.
 * @param {Row} row @param {any[]} others names that are taken
 */
function listed(row, others) {
  let name = PREFIX + row.name;
  for (let number = 2; others.some((each) => each.name === name); number++) name = `${PREFIX}${row.name} (${number})`;
  const conditioning = row.inputs.split(" ").filter((each) => each === "sketch");
  return { name, method: row.method, title: row.title, kind: "network", licence: row.licence, conditioning, browser: row };
}

/**
 * The files that fill in this browser: the server's, and those that the user opened here.
 * @param {boolean} away the server does not answer: what is kept
 */
export async function offered(away) {
  try {
    if (away) work.config = { ...work.config, browser: JSON.parse(localStorage.getItem(RUNTIME) ?? "null") };
    else if (work.config.browser) localStorage.setItem(RUNTIME, JSON.stringify({ runtime: runtime(), models: [] }));
    else localStorage.removeItem(RUNTIME);
  } catch {
    // a browser that keeps nothing
  }
  if (!runtime()) return [];
  const served = work.config.browser.models.map((each) => ({ ...each, served: true })),
    kept = await shelf.kept();
  const models = [];
  for (const row of [...served, ...kept]) {
    const there = served.some(({ sha256 }) => sha256 === row.sha256);
    if (row.served && !there && !away) await shelf.drop(row); // the server has another one now
    else if (!models.some(({ browser }) => browser.sha256 === row.sha256)) models.push(listed(row, models));
  }
  return models;
}

/**
 * A file that the user opened joins the models, and is kept.
 * @param {File} file @returns {Promise<string>} its name in the list
 */
export async function open(file) {
  if (!runtime()) throw new Error(t("browser.off"));
  const facts = await factsOf(file);
  if (!facts) throw new Error(t("browser.foreign", { name: file.name }));
  if (facts.inputs.split(" ").includes("structure"))
    throw new Error(t("browser.structure", { name: file.name }));
  const { method, title, licence = null, form, inputs, window } = facts,
    about = { method, title, licence, form, inputs, window },
    // where pages may not compute a hash, a file is known by its name and size
    sha256 = (await shelf.sha256(file)) ?? `${encodeURIComponent(file.name)}-${file.size}`,
    row = { name: file.name, sha256, bytes: file.size, address: "", served: false, opened: Date.now(), ...about };
  const there = work.models.find(({ browser }) => browser?.sha256 === sha256);
  if (there) return there.name;
  await shelf.put(row, file);
  const one = listed(row, work.models);
  work.models = [...work.models, one];
  return one.name;
}

/**
 * What a sidecar's step is done with here: the file of its hash, whatever it is called.
 * @param {{model: string, model_hash?: string | null}} step @returns {string} name of the model
 */
export function modelOf({ model, model_hash: hash }) {
  const same = work.models.find(({ browser }) => browser && hash && browser.sha256 === hash);
  return model.startsWith(PREFIX) && same ? same.name : model;
}

/**
 * The file by which a model fills here.
 * @param {string} name @returns {Row | null} null for a model of the server
 */
export function rowOf(name) {
  const row = work.models.find((each) => each.name === name)?.browser ?? null;
  if (!row && name?.startsWith(PREFIX)) throw new Error(t("browser.gone", { name: name.slice(PREFIX.length) }));
  return row;
}

/**
 * What a fill takes of the picture: where it fills here, all that the network's windows show and no more.
 * @param {import("../document.js").Document} document @param {string | null} name of the model, null = several
 * @param {any} options @param {import("../layer.js").Layer} layer the hole @returns {Box[]}
 */
export function cropsFor(document, name, options, layer) {
  const row = name && work.models.find((each) => each.name === name)?.browser,
    { box: bounds } = layer.measure();
  if (!row || !bounds) return document.crops(options.dilate, options.context, layer);
  const part = raster.intersection(raster.grown(bounds, options.dilate), document.box),
    hole = raster.dilate(layer.read(part), part.right - part.left, part.bottom - part.top, options.dilate);
  return partsOf(hole, part, document.width, document.height, row.window);
}

// Filling -------------------------------------------------------------------------------------------------------------

/** @type {Worker | null} */
let worker = null;
/** @type {Promise<void>} the fills before */
let before = Promise.resolve();
let waiting = 0;

/**
 * Fill a crop.
 * @param {Row} row @param {{rgba: Uint8ClampedArray, inside: Uint8Array, width: number, height: number, whole: boolean}} crop
 * @param {Uint8Array | null} sketch of the crop @param {AbortSignal} signal @param {(state: State) => void} heard
 * @returns {Promise<{rgba: Uint8ClampedArray, report: any}>} RGBA, and what a fill of the server tells
 */
export async function fill(row, crop, sketch, signal, heard) {
  const mine = before,
    /** @type {() => void} */
    leave = take();
  try {
    if (waiting > 1) heard({ state: "waiting", place: waiting - 1, fraction: null });
    await Promise.race([mine, aborted(signal)]);
    signal.throwIfAborted();
    const file = await shelf.fileOf(row, signal, (fraction) => heard({ state: "loading", place: null, fraction }), api.ask);
    if (!file) throw new Error(t("browser.changed", { name: row.name }));
    signal.throwIfAborted();
    heard({ state: "starting", place: null, fraction: null });
    return await worked(row, file, crop, sketch, signal, heard);
  } finally {
    leave();
  }
}

/** @param {AbortSignal} signal @returns {Promise<void>} settles when it is cancelled */
const aborted = (signal) => new Promise((done) => signal.addEventListener("abort", () => done(), { once: true }));

/** Join the queue. @returns {() => void} leaves it */
function take() {
  /** @type {() => void} */
  let leave;
  const mine = before;
  before = Promise.all([mine, new Promise((done) => (leave = () => done(waiting--)))]).then(() => {});
  waiting++;
  return leave;
}

/**
 * @param {Row} row @param {Blob} file @param {any} crop @param {Uint8Array | null} sketch @param {AbortSignal} signal
 * @param {(state: State) => void} heard @returns {Promise<{rgba: Uint8ClampedArray, report: any}>}
 */
function worked(row, file, crop, sketch, signal, heard) {
  const { width, height, inside, whole } = crop,
    own = (worker ??= new Worker(new URL("worker.js", import.meta.url), { type: "module" })),
    part = { rgba: new Uint8ClampedArray(crop.rgba), hole: inside, sketch, width, height };
  return new Promise((done, failed) => {
    const end = () => {
      own.onmessage = own.onerror = null;
      signal.removeEventListener("abort", abort);
    };
    const quit = (/** @type {Error} */ error) => {
      end();
      own.terminate(); // nothing else ends a pass that has begun
      if (worker === own) worker = null;
      failed(error);
    };
    const abort = () => quit(new DOMException("", "AbortError"));
    signal.addEventListener("abort", abort);
    own.onerror = ({ message }) => quit(new Error(t("browser.broken", { name: row.name, why: message || "worker" })));
    own.onmessage = ({ data }) => {
      if (data.ready) return heard({ state: "running", place: null, fraction: null });
      if (data.share !== undefined) return heard({ state: "running", place: null, fraction: data.share });
      if (data.failed) return quit(new Error(t("browser.broken", { name: row.name, why: data.failed })));
      end();
      done({ rgba: data.rgba, report: reportOf(row, data, whole) });
    };
    const { sha256, form, inputs, window } = row;
    own.postMessage({ row: { sha256, form, inputs, window }, file, runtime: runtime(), part }, [part.rgba.buffer]);
  });
}

/** @param {Row} row @param {any} made @param {boolean} whole whether the crop is the whole picture */
function reportOf(row, { windows, seconds, on, remarks }, whole) {
  const holes = windows.map(({ crop, scale }) => ({ crop, scale, passes: 1 }));
  return {
    model: row.title,
    model_hash: row.sha256,
    device: on,
    strategy: holes.some(({ scale }) => scale < 1) ? "scale" : whole ? "whole" : "crop",
    holes,
    seconds,
    feather: 0,
    remarks,
  };
}
