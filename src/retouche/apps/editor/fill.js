// From the hole to the fill: cut the crops, send them, take the answers into the picture; one model or several.

import * as api from "./api.js";
import { encodePNG } from "./png.js";
import * as raster from "./raster.js";
import { seamScore } from "./document.js";
import { decode } from "./decode.js";
import { dilation, element, listens, model, say, sayError, set, update, work } from "./work.js";

/** @typedef {{box: raster.Box, bytes: Uint8Array}} Hole */
/** @type {Set<{box: raster.Box, abort: AbortController, started: number, used: Hole}>} */
const jobs = new Set();
/** @type {{fills: any[], chosen: number, used: any, options: any} | null} results to choose from */
let choice = null;
let ticking = 0;

export const choosing = () => choice !== null;
export const filling = () => jobs.size > 0;

/**
 * The hole as it is now: later strokes do not reach a fill that is under way.
 * @param {any} options dilate, feather, seed, context
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
  return { document, crops, used: { box, bytes: mask.read(box) }, sketched: sketch.tiles.size > 0 };
}

/** @param {any} taken a snapshot @param {string} name of the model @param {any} options @param {AbortSignal} signal */
async function run(taken, name, options, signal) {
  const patches = [],
    reports = [];
  const guided = taken.sketched && model(name)?.listens?.includes("sketch");
  for (const crop of taken.crops) {
    const { width, height } = crop;
    const opaque = new Uint8Array(width * height * 3);
    for (let at = 0; at < width * height; at++)
      for (let channel = 0; channel < 3; channel++) opaque[at * 3 + channel] = crop.rgba[at * 4 + channel];
    const { blob, report } = await api.inpaint(
      {
        image: await encodePNG(width, height, 3, opaque),
        mask: await encodePNG(width, height, 1, crop.hole),
        sketch: guided ? await encodePNG(width, height, 1, crop.sketch) : null,
        model: name,
        dilate: options.dilate,
        feather: options.feather,
        seed: options.seed,
      },
      signal,
    );
    const rgba = await decode(blob, width, height);
    patches.push({ box: crop.box, inside: crop.inside, rgba });
    reports.push({ ...report, sent: crop.box, seam: seamScore(rgba, crop.inside, width, height) });
  }
  return { name, patches, reports };
}

/** @param {any} result @returns {number} that the server took for all crops */
const secondsOf = (result) => result.reports.reduce((sum, each) => sum + (each.seconds ?? 0), 0);

/** @param {any} options */
const settled = (options) => ({
  dilate: options.dilate ?? dilation(),
  feather: options.feather ?? null,
  seed: options.seed ?? 0,
  context: options.context ?? "near",
});

/**
 * Fill the hole.
 * @param {{model?: string, dilate?: number, feather?: number | null, seed?: number, context?: string}} [given]
 *   else the settings
 * @returns {Promise<boolean>}
 */
export async function fill(given) {
  if (choice) return keep();
  if (!work.document) return false;
  const options = settled(given ?? work.settings),
    name = given?.model ?? work.settings.model;
  return working(options, async (taken, signal) => {
    const result = await run(taken, name, options, signal);
    if (taken.document === work.document) await take(taken, result, options);
  });
}

/** Fill the same hole with several models, to choose from. @param {string[]} names */
export async function several(names) {
  if (choice) drop();
  if (!work.document || !names.length) return false;
  const options = settled(work.settings);
  return working(options, async (taken, signal) => {
    const fills = [];
    for (const name of names) {
      say(`${name} (${fills.length + 1} of ${names.length})`);
      try {
        fills.push(await run(taken, name, options, signal));
      } catch (error) {
        if (error.name === "AbortError") throw error;
        sayError(`${name}: ${error.message}`);
      }
    }
    if (!fills.length || taken.document !== work.document) return;
    choice = { fills, chosen: 0, used: taken, options };
    showChoice();
  });
}

/** @param {any} options @param {(taken: any, signal: AbortSignal) => Promise<void>} task */
async function working(options, task) {
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
  const job = { used: taken.used, box: taken.used.box, abort: new AbortController(), started: performance.now() };
  jobs.add(job);
  work.view.busy.add(job);
  work.view.ghost = null;
  say("");
  progress();
  update();
  work.view.draw();
  try {
    await task(taken, job.abort.signal);
    return true;
  } catch (error) {
    if (error.name === "AbortError") say("Cancelled; nothing changed");
    else sayError(error);
    return false;
  } finally {
    jobs.delete(job);
    work.view.busy.delete(job);
    progress();
    update();
    work.view.draw();
  }
}

/** Elapsed time on the button that cancels. */
function progress() {
  clearInterval(ticking);
  const button = element("cancel"),
    show = () => {
      const [first] = jobs;
      if (first) button.textContent = `Cancel ${((performance.now() - first.started) / 1000).toFixed(1)} s`;
    };
  button.hidden = !jobs.size;
  show();
  if (jobs.size) ticking = setInterval(show, 100);
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
