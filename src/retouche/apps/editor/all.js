// "Apply to all": the mask or the whole edit carried through the folder, a grid with progress, what to look at again,
// and everything saved at once.

import * as api from "./api.js";
import { applied, passesOf } from "./batch.js";
import { PLACES } from "./carry.js";
import { elapsed } from "./progress.js";
import { t } from "./strings.js";
import { download, element, work } from "./work.js";
import { fileName } from "./save.js";
import { zip } from "./zip.js";

/**
 * @typedef {{name: string, at: number, state: "waiting" | "filling" | "done" | "failed" | "saved" | "exists",
 *   result: import("./batch.js").Applied | null, error: string, tries: number, cell: HTMLElement}} Item
 */

const AT_ONCE = 2; // pictures: one is read while another is filled
const SEAM = 4; // grey levels that show, and
const TIMES = 2; // times the usual seam of these pictures that stand out
const LARGE = 0.25; // share of a picture

/**
 * @typedef {{files: import("./folder.js").Listing, items: Item[], passes: import("./batch.js").Pass[], where: any,
 *   what: "edit" | "mask", document: any, abort: AbortController, running: number}} Batch
 */
/** @type {Batch | null} */
let batch = null;

/** Whether there is something to apply, and pictures to apply it to. */
export const appliable = () =>
  (work.files?.names.length ?? 0) > 1 && Boolean(work.document?.fills.length || work.document?.layers.mask.tiles.size);

/** @param {Item} item @returns {string[]} why to look at it again */
function doubts({ result }) {
  if (!result) return [];
  const seams = batch.items.flatMap((item) => item.result?.seam ?? []).sort((one, two) => one - two),
    usual = seams[Math.floor(seams.length / 2)] ?? 0,
    { seam, share, lost, other } = result;
  return [
    seam !== null && seam > Math.max(SEAM, TIMES * usual) && t("all.doubt.seam", { seam: seam.toFixed(1) }),
    share > LARGE && t("all.doubt.large", { share: Math.round(share * 100) }),
    lost > 0 && t("all.doubt.lost"),
    other && !lost && t("all.doubt.size"),
  ].filter(Boolean);
}

// What is shown -------------------------------------------------------------------------------------------------------

/** @param {string} tag @param {object} values @param {(Node | string)[]} children */
function node(tag, values = {}, ...children) {
  const one = Object.assign(document.createElement(tag), values);
  one.append(...children);
  return one;
}

/** A name with its end, where names of a folder differ. @param {string} name */
const short = (name) => (name.length > 17 ? `${name.slice(0, 5)}…${name.slice(-11)}` : name);

/** @param {Item} item */
function show(item) {
  const { result, cell, state } = item,
    why = doubts(item),
    shot = node("button", { type: "button", className: "shot", disabled: !result }),
    canvas = /** @type {HTMLCanvasElement} */ (node("canvas", { width: 192, height: 144 }));
  if (result) {
    canvas.getContext("2d").drawImage(result.after, 0, 0);
    shot.title = t("all.shot");
    shot.setAttribute("aria-label", `${item.name}: ${t("all.shot")}`);
    shot.addEventListener("click", () => {
      const before = shot.getAttribute("aria-pressed") !== "true";
      shot.setAttribute("aria-pressed", String(before));
      canvas.getContext("2d").drawImage(before ? result.before : result.after, 0, 0);
    });
    shot.setAttribute("aria-pressed", "false");
  } else shot.setAttribute("aria-label", item.name);
  shot.append(canvas);
  const words = {
      waiting: t("all.waiting"),
      filling: t("all.filling"),
      done: "",
      failed: item.error,
      saved: t("all.saved"),
      exists: t("all.exists"),
    },
    text = [words[state], state === "failed" ? "" : why.join(", ") || (result && elapsed(result.seconds))],
    again = node("button", { type: "button", textContent: t("all.retry"), className: "retry" });
  again.setAttribute("aria-label", `${t("all.retry")}: ${item.name}`);
  again.hidden = !result && state !== "failed";
  again.addEventListener("click", () => retry(item));
  cell.dataset.state = state;
  cell.classList.toggle("doubt", state === "failed" || why.length > 0);
  cell.replaceChildren(
    shot,
    node("b", { textContent: short(item.name.replace(/^.*\//, "")), title: item.name }),
    node("small", { textContent: text.filter(Boolean).join(" · ") }),
    again,
  );
}

function showState() {
  const items = batch?.items ?? [],
    count = (state) => items.filter((item) => item.state === state).length,
    over = items.length - count("waiting") - count("filling"),
    running = Boolean(batch?.running),
    look = items.filter((item) => item.cell.classList.contains("doubt")).length;
  element("allstart").hidden = running || (!stale() && !count("waiting"));
  element("allstop").hidden = !running;
  element("allsave").hidden = running || !items.some(({ result }) => result);
  element("allwhat").disabled = element("allwhere").disabled = running;
  element("allbar").style.width = items.length ? `${(over / items.length) * 100}%` : "0";
  const { length } = work.files?.names ?? [];
  element("allsaid").textContent = !items.length
    ? t("all.ready", { count: length })
    : [t("all.at", { at: over, count: items.length }), look && t("all.look", { count: look })].filter(Boolean).join(" · ");
}

/** Whether something else is chosen than what was applied. */
const stale = () =>
  !batch ||
  batch.files !== work.files ||
  batch.document !== work.document ||
  batch.what !== element("allwhat").value ||
  batch.where !== element("allwhere").value;

// What is done --------------------------------------------------------------------------------------------------------

export function openAll() {
  if (!appliable()) return;
  const what = element("allwhat"),
    where = element("allwhere"),
    { document: open } = work,
    option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  const before = [what.value, where.value];
  what.replaceChildren();
  if (open.visible.length) what.append(option("edit", t("all.edit", { count: open.visible.length })));
  what.append(option("mask", t("all.mask")));
  where.replaceChildren(...PLACES.map((place) => option(place, t(`place.${place}`))));
  for (const [at, list] of [what, where].entries())
    if ([...list.options].some(({ value }) => value === before[at])) list.value = before[at];
  if (stale() && !batch?.running) {
    batch = null;
    element("allgrid").replaceChildren();
    element("all-pictures").style.removeProperty("--count");
  }
  showState();
  element("all-pictures").showModal();
}

function start() {
  if (!stale()) {
    batch.abort = new AbortController(); // it was stopped: what waits goes on
    for (let at = 0; at < AT_ONCE; at++) runner(batch);
    return;
  }
  const what = element("allwhat").value,
    passes = passesOf(work.document, what);
  if (!passes.length) return void (element("allsaid").textContent = t("fill.nothing"));
  const { files } = work;
  batch = {
    files,
    passes,
    what,
    where: element("allwhere").value,
    document: work.document,
    abort: new AbortController(),
    running: 0,
    items: files.names.map((name, at) => ({
      name,
      at,
      state: "waiting",
      result: null,
      error: "",
      tries: 0,
      cell: Object.assign(document.createElement("div"), { role: "listitem" }),
    })),
  };
  for (const item of batch.items) show(item);
  element("allgrid").replaceChildren(...batch.items.map(({ cell }) => cell));
  element("all-pictures").style.setProperty("--count", String(batch.items.length));
  for (let at = 0; at < AT_ONCE; at++) runner(batch);
}

/** Take what waits, one after the other. @param {Batch} own */
async function runner(own) {
  own.running++;
  showState();
  for (;;) {
    const item = own.items.find(({ state }) => state === "waiting");
    if (!item || own.abort.signal.aborted) break;
    await one(own, item);
  }
  own.running--;
  if (own !== batch) return;
  if (!own.running) for (const each of own.items) if (each.result) show(each); // all seams are known now
  showState();
}

/** @param {Batch} own @param {Item} item */
async function one(own, item) {
  item.state = "filling";
  show(item);
  try {
    const place = { path: own.files.served ? item.name : null, listed: !own.files.served },
      blob = await own.files.open(item.at);
    item.result = await applied(blob, item.name, place, own.passes, own.where, item.tries, own.abort);
    item.state = "done";
  } catch (error) {
    const stopped = error.name === "AbortError";
    item.state = stopped ? "waiting" : "failed";
    item.error = stopped ? "" : error.message;
  }
  if (own !== batch) return;
  show(item);
  showState();
}

/** Once more, with the next seed. @param {Item} item */
function retry(item) {
  item.tries++;
  item.result = null;
  item.state = "waiting";
  batch.abort = batch.abort.signal.aborted ? new AbortController() : batch.abort;
  show(item);
  if (batch.running < AT_ONCE) runner(batch);
}

async function saveAll() {
  const own = batch,
    button = element("allsave"),
    // what lies in the output folder already needs no second time
    ready = own.items.filter(({ result, state }) => result && !(work.config.output && state === "saved")),
    /** @type {{name: string, blob: Blob}[]} */
    files = [];
  button.disabled = true;
  let failed = "";
  for (const [at, item] of ready.entries()) {
    element("allsaid").textContent = t("all.saving", { at: at + 1, count: ready.length });
    const { body } = item.result;
    if (item.state === "exists") body.set("overwrite", "true"); // it was asked for again
    try {
      const answer = await api.ask("/api/v1/save", { method: "POST", body });
      if (!work.config.output) {
        const blob = await answer.blob();
        files.push({ name: fileName(item.name, blob, ""), blob });
      }
      item.state = "saved";
    } catch (error) {
      item.state = error.status === 409 ? "exists" : item.state;
      if (error.status !== 409) failed = `${item.name}: ${error.message}`;
    }
    show(item);
  }
  const archive = files.length ? await zip(files) : null;
  if (archive) download(archive, "retouched.zip");
  else if (files.length) failed = t("all.large");
  button.disabled = false;
  const there = ready.filter(({ state }) => state === "exists").length,
    done = own.items.filter(({ state }) => state === "saved").length;
  element("allsaid").textContent =
    failed || (there ? t("all.replace", { count: there }) : t("all.done", { count: done }));
  if (done === own.items.length && own.what === "edit") {
    own.document.saved = own.document.visible;
    own.document.tell("steps", null);
  }
}

export function setUpAll() {
  element("all").addEventListener("click", openAll);
  element("allclose").addEventListener("click", () => element("all-pictures").close());
  element("allstart").addEventListener("click", start);
  element("allstop").addEventListener("click", () => batch?.abort.abort());
  element("allsave").addEventListener("click", saveAll);
  for (const id of ["allwhat", "allwhere"]) element(id).addEventListener("change", showState);
  work.changed.add(() => (element("all").hidden = !appliable()));
}
