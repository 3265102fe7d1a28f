// From the hole to the fill: cut the crops, send them, take the answers into the picture; one model or several.

import * as api from "./api.js";
import * as deep from "./deep.js";
import { encodePNG } from "./png.js";
import * as raster from "./raster.js";
import { seamScore } from "./document.js";
import { decode } from "./decode.js";
import { showProgress } from "./progress.js";
import { device, dilation, element, listens, model, say, sayError, set, update, work } from "./work.js";

/** @typedef {{box: raster.Box, bytes: Uint8Array}} Hole */
/**
 * @typedef {import("./progress.js").Progress & {box: raster.Box, abort: AbortController, used: Hole,
 *   waited: boolean}} Job
 */
/** @type {Set<Job>} */
const jobs = new Set();
/** @type {{fills: any[], chosen: number, used: any, options: any} | null} results to choose from */
let choice = null;

export const choosing = () => choice !== null;
export const filling = () => jobs.size > 0;

/**
 * The hole as it is now: later strokes do not reach a fill that is under way.
 * @param {any} options dilate, feather, seed, context, device
 */
function snapshot(options) {
  const { document } = work,
    { mask, sketch } = document.layers,
    { box } = mask.measure();
  if (!box) return null;
  const reach = options.dilate;
  const crops = document.crops(reach, options.context).map((crop) => {
    const width = crop.right - crop.left,
      height = crop.bottom - crop.top,
      hole = mask.read(crop);
    const inside = raster.dilate(hole, width, height, reach);
    if (inside.every((value) => value))
      throw new Error("the hole leaves nothing known around it: mask less of the picture");
    return { box: crop, width, height, hole, inside, rgba: document.read(crop), sketch: sketch.read(crop) };
  });
  const { source, fills } = document,
    used = { box, bytes: mask.read(box) };
  return { document, source, fills, crops, used, sketched: sketch.tiles.size > 0 };
}

/** @param {any} crop @returns {number} its share of the work, in pixels */
const size = (crop) => crop.width * crop.height;

/** @param {any} taken a snapshot @param {string} name of the model @param {any} options @param {Job} job */
async function run(taken, name, options, job) {
  const patches = [],
    reports = [];
  const guided = taken.sketched && model(name)?.listens?.includes("sketch");
  for (const crop of taken.crops) {
    const { width, height } = crop;
    const opaque = new Uint8Array(width * height * 3);
    for (let at = 0; at < width * height; at++)
      for (let channel = 0; channel < 3; channel++) opaque[at * 3 + channel] = crop.rgba[at * 4 + channel];
    const request = {
      image: taken.source.deep
        ? await deep.crop(taken.source, taken.fills, crop.box, job.abort.signal)
        : await encodePNG(width, height, 3, opaque),
      mask: await encodePNG(width, height, 1, crop.hole),
      sketch: guided ? await encodePNG(width, height, 1, crop.sketch) : null,
      model: name,
      dilate: options.dilate,
      feather: options.feather,
      seed: options.seed,
      device: options.device,
      job: api.jobName(),
    };
    const leave = api.follow(request.job, (state) => hear(job, state, size(crop)));
    const { blob, report } = await api.inpaint(request, job.abort.signal).finally(() => {
      leave();
      job.place = 0;
    });
    job.began ??= job.started;
    job.done += size(crop);
    job.now = 0;
    const rgba = await decode(blob, width, height);
    const bits = taken.source.deep ? await deep.kept(blob, crop.box, crop.inside, job.abort.signal) : null;
    patches.push({ box: crop.box, inside: crop.inside, rgba, bits });
    reports.push({ ...report, sent: crop.box, seam: seamScore(rgba, crop.inside, width, height) });
  }
  return { name, patches, reports };
}

/** Note how far the crop under way is. @param {Job} job @param {any} state @param {number} share of the crop */
function hear(job, { state, place, fraction }, share) {
  job.place = state === "waiting" ? place : 0;
  if (job.place && !job.waited && jobs.values().next().value === job) {
    job.waited = true; // said once, and not of a fill that waits behind this page's own
    say("Waiting for other fills to end");
  }
  if (fraction === null) return;
  job.began ??= performance.now();
  job.now = Math.max(job.now, fraction * share);
}

/** @param {any} result @returns {number} that the server took for all crops */
const secondsOf = (result) => result.reports.reduce((sum, each) => sum + (each.seconds ?? 0), 0);

/** @param {any} options */
const settled = (options) => ({
  dilate: options.dilate ?? dilation(),
  feather: options.feather ?? null,
  seed: options.seed ?? 0,
  context: options.context ?? "near",
  device: device(options.device ?? null),
});

/**
 * Fill the hole.
 * @param {{model?: string, dilate?: number, feather?: number | null, seed?: number, context?: string,
 *   device?: string | null}} [given] else the settings
 * @returns {Promise<boolean>}
 */
export async function fill(given) {
  if (choice) return keep();
  if (!work.document) return false;
  const options = settled(given ?? work.settings),
    name = given?.model ?? work.settings.model;
  return working(options, 1, async (taken, job) => {
    const result = await run(taken, name, options, job);
    if (taken.document === work.document) await take(taken, result, options);
  });
}

/** Fill the same hole with several models, to choose from. @param {string[]} names */
export async function several(names) {
  if (choice) drop();
  if (!work.document || !names.length) return false;
  const options = settled(work.settings);
  return working(options, names.length, async (taken, job) => {
    const fills = [];
    for (const [index, name] of names.entries()) {
      say(`${name} (${index + 1} of ${names.length})`);
      try {
        fills.push(await run(taken, name, options, job));
      } catch (error) {
        if (error.name === "AbortError") throw error;
        sayError(`${name}: ${error.message}`);
      }
      job.done = ((index + 1) * job.total) / names.length;
      job.now = 0;
    }
    if (!fills.length || taken.document !== work.document) return;
    choice = { fills, chosen: 0, used: taken, options };
    showChoice();
  });
}

/**
 * @param {any} options @param {number} rounds in which all crops are filled
 * @param {(taken: any, job: Job) => Promise<void>} task
 */
async function working(options, rounds, task) {
  let taken;
  try {
    taken = snapshot(options);
  } catch (error) {
    sayError(error);
    return false;
  }
  if (!taken) {
    say("Paint over what should go first");
    return false;
  }
  for (const { used } of jobs)
    if (
      String(Object.values(used.box)) === String(Object.values(taken.used.box)) &&
      used.bytes.every((value, at) => value === taken.used.bytes[at])
    ) {
      say("This hole is being filled already");
      return false;
    }
  const job = {
    used: taken.used,
    box: taken.used.box,
    abort: new AbortController(),
    started: performance.now(),
    began: null,
    place: 0,
    waited: false,
    total: rounds * taken.crops.reduce((sum, crop) => sum + size(crop), 0),
    done: 0,
    now: 0,
  };
  jobs.add(job);
  work.view.busy.add(job);
  work.view.ghost = null;
  say("");
  showProgress(jobs);
  update();
  work.view.draw();
  try {
    await task(taken, job);
    return true;
  } catch (error) {
    if (error.name === "AbortError") say("Cancelled; nothing changed");
    else sayError(error);
    return false;
  } finally {
    jobs.delete(job);
    work.view.busy.delete(job);
    showProgress(jobs);
    update();
    work.view.draw();
  }
}

export function cancel() {
  for (const job of jobs) job.abort.abort();
  return jobs.size > 0;
}

/** Put a result into the picture. @param {any} taken @param {any} result @param {any} options */
async function take(taken, result, options) {
  const { document, view } = work,
    { box, bytes } = taken.used,
    first = result.reports[0] ?? {};
  const seam = Math.max(...result.reports.map((each) => each.seam ?? 0)) || null;
  const record = {
    model: result.name,
    label: result.name,
    options: { ...options, feather: first.feather ?? options.feather },
    report: {
      ...first,
      seconds: secondsOf(result),
      crops: result.reports,
    },
    mask: await encodePNG(box.right - box.left, box.bottom - box.top, 1, bytes),
    sketch: null,
    box,
    seam,
    thumbnail: thumbnail(result.patches[0], box),
    deep: result.patches.map((patch) => patch.bits).filter(Boolean),
  };
  if (taken.sketched)
    record.sketch = await encodePNG(box.right - box.left, box.bottom - box.top, 1, document.layers.sketch.read(box));
  view.remember();
  document.apply(result.patches, record, work.settings.keepMask ? null : taken.used);
  if (!work.settings.keepMask) view.ghost = { box, bytes };
  view.draw();
  update();
}

/** @param {any} patch @param {raster.Box} box @returns {OffscreenCanvas} the fill with a little around it */
function thumbnail(patch, box) {
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

// Several results -----------------------------------------------------------------------------------------------------

function showChoice() {
  const list = element("results"),
    { view } = work;
  list.replaceChildren(
    ...choice.fills.map((result, index) => {
      const item = document.createElement("div"),
        picture = document.createElement("canvas");
      const text = document.createElement("span");
      Object.assign(picture, { width: 192, height: 144 });
      picture.getContext("2d").drawImage(thumbnail(result.patches[0], choice.used.used.box), 0, 0);
      text.textContent = `${result.name}  ${secondsOf(result).toFixed(1)} s`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-label", text.textContent);
      item.tabIndex = -1;
      item.append(picture, text);
      item.addEventListener("click", () => choose(index));
      item.addEventListener("dblclick", () => keep());
      return item;
    }),
  );
  list.hidden = false;
  const { box } = choice.used.used,
    at = view.toStage((box.left + box.right) / 2, box.bottom),
    { stage } = view;
  const left = Math.max(12, Math.min(at.x - list.offsetWidth / 2, stage.clientWidth - list.offsetWidth - 12));
  const top = Math.max(12, Math.min(at.y + 12, stage.clientHeight - list.offsetHeight - 12));
  list.style.left = `${left}px`;
  list.style.top = `${top}px`;
  choose(0);
  say("Arrow keys choose, Enter keeps one, Escape none");
}

/** @param {number} index */
export function choose(index) {
  if (!choice) return;
  const count = choice.fills.length;
  choice.chosen = (index + count) % count;
  work.view.preview = choice.fills[choice.chosen].patches;
  [...element("results").children].forEach((item, place) => {
    item.setAttribute("aria-selected", String(place === choice.chosen));
    item.tabIndex = place === choice.chosen ? 0 : -1;
    if (place === choice.chosen) item.focus();
  });
  work.view.draw();
  update();
}

/** @param {number} by */
export const turn = (by) => choice && choose(choice.chosen + by);

/** Take the chosen result. */
export async function keep() {
  if (!choice) return false;
  const { fills, chosen, used, options } = choice;
  drop();
  say("");
  set({ model: fills[chosen].name });
  await take(used, fills[chosen], options);
  return true;
}

/** Take none. */
export function drop() {
  if (!choice) return false;
  choice = null;
  work.view.preview = null;
  element("results").hidden = true;
  element("overlay").focus();
  work.view.draw();
  update();
  return true;
}

/** Whether a sketch would be listened to. */
export const guided = () => listens("sketch");
