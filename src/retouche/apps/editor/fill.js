// From the hole to the fill: lift the hole out of the mask, cut the crops, send them, put the answers into the picture.
// A hole on its way is an object of its own: what is painted, undone or filled meanwhile does not meet it.

import * as api from "./api.js";
import * as browser from "./browser/engine.js";
import * as deep from "./deep.js";
import { membrane } from "./membrane.js";
import { learn } from "./models.js";
import { encodePNG } from "./png.js";
import * as raster from "./raster.js";
import { seamScore } from "./seam.js";
import { decode } from "./decode.js";
import { t } from "./strings.js";
import { showProgress } from "./progress.js";
import { announce, device, dilation, keepsMask, model, say, sayError, update, work } from "./work.js";

/** @typedef {import("./steps.js").Hole} Hole */
/**
 * @typedef {import("./progress.js").Progress & {hole: Hole, document: import("./document.js").Document,
 *   crops: raster.Box[], abort: AbortController, waited: boolean, sent: () => void, over: Promise<any>}} Job
 */
/** @type {Set<Job>} the oldest first */
const jobs = new Set();
const QUICK = ["harmonic", "mean"]; // no slower than a preview
const PREVIEW_PIXELS = 250_000; // of a hole; beyond, a preview would hold the page up for too long

export const filling = () => jobs.size > 0;

/**
 * A crop's pixels and hole, as they are when its turn has come.
 * @param {Job} job @param {raster.Box} box @param {any} options
 */
function cut({ document, hole }, box, options) {
  const width = box.right - box.left,
    height = box.bottom - box.top,
    bytes = hole.layer.read(box),
    inside = raster.dilate(bytes, width, height, options.dilate);
  if (inside.every((value) => value))
    throw new Error(t("fill.unknown"));
  return { box, width, height, hole: bytes, inside, rgba: document.read(box) };
}

/** @param {raster.Box} crop @returns {number} its share of the work */
const size = (crop) => raster.area(crop);

/** @param {Job} job @param {any} crop @param {any} options @param {string} name of the model */
async function requestFor(job, crop, options, name) {
  const { document, abort } = job,
    { width, height, box } = crop,
    guided = document.layers.sketch.tiles.size > 0 && model(name)?.conditioning?.includes("sketch");
  const opaque = new Uint8Array(width * height * 3);
  for (let at = 0, to = 0; to < opaque.length; at += 4) {
    opaque[to++] = crop.rgba[at];
    opaque[to++] = crop.rgba[at + 1];
    opaque[to++] = crop.rgba[at + 2];
  }
  const [image, mask, sketch] = await Promise.all([
    document.source.deep
      ? deep.crop(document.source, document.visible, box, abort.signal)
      : encodePNG(width, height, 3, opaque, api.near),
    encodePNG(width, height, 1, crop.hole, api.near),
    guided ? encodePNG(width, height, 1, document.layers.sketch.read(box), api.near) : null,
  ]);
  const { dilate, feather, seed, device } = options;
  return { image, mask, sketch, model: name, dilate, feather, seed, device };
}

/**
 * Fill all crops of a job with one model.
 * @param {Job} job @param {string} name of the model @param {any} options @param {boolean} preview show one at once
 */
export async function run(job, name, options, preview = false) {
  const patches = [],
    reports = [],
    seen = job.document.visible, // by the model, beneath its own
    row = browser.rowOf(name);
  for (const box of job.crops) {
    const crop = cut(job, box, options),
      foreseen = () => preview && box === job.crops[0] && foresee(job, options.dilate),
      making = row ? here(job, crop, row, foreseen) : there(job, crop, options, name, foreseen),
      { rgba, bits, report } = await making;
    job.began ??= job.started;
    job.done += size(box);
    job.now = 0;
    patches.push({ box, inside: crop.inside, rgba, bits });
    reports.push({ ...report, sent: box, seam: seamScore(rgba, crop.inside, crop.width, crop.height) });
  }
  return { name, patches, reports, seen };
}

/**
 * Have a crop filled by the server.
 * @param {Job} job @param {any} crop @param {any} options @param {string} name of the model
 * @param {() => void} meanwhile called while it is packed
 */
async function there(job, crop, options, name, meanwhile) {
  const { box, inside } = crop,
    making = requestFor(job, crop, options, name); // what packs it works beside this page
  meanwhile();
  const request = { ...(await making), job: api.jobName() };
  const leave = api.follow(request.job, (state) => noteProgress(job, state, size(box)));
  const answer = api.inpaint(request, job.abort.signal, () => noteProgress(job, BUSY, 0)).finally(() => {
    leave();
    job.place = 0;
  });
  job.sent(); // the call itself has sent it
  const { blob, box: part, report } = await answer,
    bits = job.document.source.deep ? await deep.kept(blob, box, part, inside) : null;
  return { rgba: await filled(crop, blob, part), bits, report };
}

/**
 * Have a crop filled in this browser.
 * @param {Job} job @param {any} crop @param {import("./browser/shelf.js").Row} row the model's file
 * @param {() => void} meanwhile
 */
async function here(job, crop, row, meanwhile) {
  const { document, abort } = job,
    strokes = document.layers.sketch.tiles.size > 0 ? document.layers.sketch.read(crop.box) : null;
  if (document.source.deep) throw new Error(t("browser.deep"));
  const whole = size(crop.box) === document.width * document.height,
    follow = (state) => noteProgress(job, state, size(crop.box)),
    answer = browser.fill(row, { ...crop, whole }, strokes, abort.signal, follow);
  job.sent();
  meanwhile();
  return { ...(await answer), bits: null };
}

/**
 * A crop with the part of it that came back.
 * @param {any} crop @param {Blob} blob @param {raster.Box} part of the crop @returns {Promise<Uint8ClampedArray>} RGBA
 */
async function filled({ rgba, width }, blob, { left, top, right, bottom }) {
  const across = right - left,
    made = rgba.slice(),
    bytes = await decode(blob, across, bottom - top);
  for (let y = top; y < bottom; y++)
    made.set(bytes.subarray((y - top) * across * 4, (y - top + 1) * across * 4), (y * width + left) * 4);
  return made;
}

/**
 * Show a smooth fill of a hole until the real one is there.
 * @param {Job} job @param {number} reach pixels by which the hole grows
 */
function foresee({ hole, document, crops }, reach) {
  const { view } = work;
  if (document !== work.document) return;
  const patches = crops.flatMap((crop) => {
    const found = raster.bounds(hole.layer.read(crop), crop.right - crop.left);
    if (!found) return [];
    const { left, top } = crop,
      here = { left: left + found.left, top: top + found.top, right: left + found.right, bottom: top + found.bottom },
      box = raster.intersection(raster.grown(here, reach + 1), document.box),
      width = box.right - box.left,
      height = box.bottom - box.top,
      inside = raster.dilate(hole.layer.read(box), width, height, reach),
      rgba = document.read(box);
    membrane(rgba, width, height, inside);
    return [{ box, inside, rgba }];
  });
  view.previews.set(hole, patches);
  view.draw();
}

const BUSY = { state: "waiting", place: 1, fraction: null }; // what a full queue amounts to

/** Note how far the crop under way is. @param {Job} job @param {any} state @param {number} share of the crop */
function noteProgress(job, { state, place, fraction }, share) {
  job.place = state === "waiting" ? place : 0;
  job.loading = state === "loading" ? fraction : state === "starting" ? 1 : null;
  if (job.place && !job.waited && jobs.values().next().value === job) {
    job.waited = true; // said once, and not of a fill that waits behind this page's own
    say(t("fill.waits"));
  }
  if (fraction === null || job.loading !== null) return;
  job.began ??= performance.now();
  job.now = Math.max(job.now, fraction * share);
}

/** @param {any} result @returns {number} that the server took for all crops */
export const secondsOf = (result) => result.reports.reduce((sum, each) => sum + (each.seconds ?? 0), 0);

/** @param {any} options */
export const settled = (options) => ({
  dilate: options.dilate ?? dilation(),
  feather: options.feather ?? null,
  seed: options.seed ?? 0,
  context: options.context ?? "near",
  device: device(options.device ?? null),
});

/**
 * Fill the hole.
 * @param {{model?: string, dilate?: number, feather?: number | null, seed?: number, context?: string,
 *   device?: string | null} | null} [given] else the settings
 * @param {boolean} [joined] with the gesture that painted the hole: both are one step of undo
 * @returns {Promise<boolean>}
 */
export async function fill(given = null, joined = false) {
  if (!work.document) return false;
  const options = settled(given ?? work.settings),
    name = given?.model ?? work.settings.model;
  return working(options, 1, joined, async (job, preview) => {
    await take(job, await run(job, name, options, preview), options);
  }, !QUICK.includes(name), name);
}

/**
 * Fill a hole once more, on top.
 * @param {any} [once] the fill, else the last one @param {{model?: string, seed?: number}} [other] else the next seed
 */
export async function again(once = null, other = {}) {
  const { document } = work,
    last = once ?? document?.fills[document.fills.length - 1];
  if (!last) return false;
  const { hole, options, model } = last;
  const painted = document.paint(hole.layer, "fill");
  return fill({ ...options, model, seed: options.seed + 1, ...other }, painted);
}

/**
 * Lift the hole and have it filled; it goes back into the mask if that does not succeed.
 * @param {any} options @param {number} rounds in which all crops are filled @param {boolean} joined
 * @param {(job: Job, preview: boolean) => Promise<void>} task told whether to show a preview
 * @param {boolean} [slow] so that a preview is worth while, unless the hole is large
 * @param {string | null} [name] of the model, where one alone fills
 */
export async function working(options, rounds, joined, task, slow = false, name = null) {
  const { document, view } = work,
    hole = document.lift(joined);
  if (!hole) {
    say(t("fill.nothing"));
    return false;
  }
  const crops = browser.cropsFor(document, name, options, hole.layer),
    preview = slow && hole.count <= PREVIEW_PIXELS,
    before = [...jobs].filter((job) => job.crops.some((one) => crops.some((two) => raster.intersection(one, two))));
  const job = jobOf(document, hole, crops, rounds);
  if (!before.length) job.sent = view.film.hold();
  else if (preview) foresee(job, options.dilate);
  jobs.add(job);
  job.over = (async () => {
    // a fill sees what those before it have made of its surroundings, not the holes they have left
    for (const each of before) await each.over;
    if (job.abort.signal.aborted) throw new DOMException("", "AbortError");
    await task(job, preview);
  })().then(
    () => true,
    (error) => {
      if (error.name === "AbortError") say(t("fill.cancelled"));
      else sayError(error);
      document.giveBack(hole);
      return false;
    },
  );
  view.film.pointed = null;
  say("");
  showProgress(jobs, cancel);
  const done = await job.over;
  job.sent();
  jobs.delete(job);
  view.previews.delete(hole);
  view.draw();
  showProgress(jobs, cancel);
  update();
  return done;
}

/**
 * @param {import("./document.js").Document} document @param {Hole} hole @param {raster.Box[]} crops
 * @param {number} rounds in which all crops are filled @param {AbortController} [abort]
 * @returns {Job} not begun yet
 */
export const jobOf = (document, hole, crops, rounds, abort = new AbortController()) => ({
  hole,
  document,
  crops,
  abort,
  started: performance.now(),
  began: null,
  place: 0,
  loading: null,
  waited: false,
  sent: () => {}, // called when its request has left
  total: rounds * crops.reduce((sum, crop) => sum + size(crop), 0),
  done: 0,
  now: 0,
  over: null,
});

/** Fills whose holes have gone back into the mask, by undo, are wanted no more. */
export function abortLost() {
  for (const job of jobs) if (!job.document.pending.has(job.hole)) job.abort.abort();
}

/** @param {Job} [one] else all */
export function cancel(one) {
  const found = one ? [one] : [...jobs];
  for (const job of found) {
    job.document.giveBack(job.hole);
    job.abort.abort();
  }
  return found.length > 0;
}

/** What a fill was done with. @param {Job} job @param {any} result @param {any} options @returns {Promise<any>} */
export async function recordOf({ document, hole, started }, result, options) {
  const { box } = hole,
    first = result.reports[0] ?? {},
    sketched = document.layers.sketch.tiles.size > 0,
    seams = result.reports.map((each) => each.seam).filter((each) => each !== null);
  const grey = (bytes) => encodePNG(box.right - box.left, box.bottom - box.top, 1, bytes);
  return {
    model: result.name,
    label: browser.label(result.name),
    options: { ...options, feather: first.feather ?? options.feather },
    report: { ...first, seconds: secondsOf(result), crops: result.reports },
    hole,
    seen: result.seen,
    mask: await grey(hole.layer.read(box)),
    sketch: sketched ? await grey(document.layers.sketch.read(box)) : null,
    box,
    seam: seams.length ? Math.max(...seams) : null,
    thumbnail: thumbnail(result.patches[0], box),
    deep: result.patches.map((patch) => patch.bits).filter(Boolean),
    waited: (performance.now() - started) / 1000,
  };
}

/** Put a result into the picture. @param {Job} job @param {any} result @param {any} options */
export async function take(job, result, options) {
  const { view } = work,
    { document, hole } = job,
    record = await recordOf(job, result, options);
  if (!document.pending.has(hole) || document !== work.document) return; // taken back meanwhile
  const alone = !document.layers.mask.measure().count;
  view.remember();
  view.previews.delete(hole);
  document.apply(result.patches, record, hole, keepsMask());
  view.rest(hole, alone);
  learn().catch(sayError);
  const share = (100 * hole.count) / (document.width * document.height);
  announce(
    t("fill.told", {
      share: share.toFixed(share < 0.1 ? 2 : 1),
      model: browser.label(result.name),
      time: record.waited.toFixed(1),
    }),
  );
  update();
}

/** @param {any} patch @param {raster.Box} box @returns {OffscreenCanvas} the fill with a little around it */
export function thumbnail(patch, box) {
  const width = patch.box.right - patch.box.left,
    height = patch.box.bottom - patch.box.top;
  const image = new OffscreenCanvas(width, height);
  image.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(patch.rgba), width, height), 0, 0);
  const seen = raster.intersection(box, patch.box) ?? patch.box,
    small = new OffscreenCanvas(192, 144);
  const extent = Math.max(seen.right - seen.left + 32, ((seen.bottom - seen.top + 32) * 4) / 3);
  const middle = { x: (seen.left + seen.right) / 2, y: (seen.top + seen.bottom) / 2 },
    context = small.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.scale(192 / extent, 192 / extent);
  context.drawImage(image, patch.box.left - middle.x + extent / 2, patch.box.top - middle.y + (extent * 3) / 8);
  return small;
}
