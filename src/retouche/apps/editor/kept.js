// Work that survives a reload and a crash: the open picture, its layers, fills and history lie in the browser's own
// database as well. A tile never changes once its step has ended, so each is written once, in one transaction with the
// record that names it: what is found again is whole.

import { FULL, Layer } from "./layer.js";
import { t } from "./strings.js";
import { say } from "./work.js";

/** @typedef {import("./document.js").Document} Document @typedef {import("./steps.js").Hole} Hole */
/** @typedef {import("./steps.js").Fill} Fill @typedef {import("./steps.js").Step} Step */
/**
 * @typedef {{id: string, time: number, name: string, path: string | null, listed: boolean, unsaved: boolean,
 *   steps: number, state: any}} Work what is found again
 */

const MOST_WORKS = 3; // pictures of which the work is kept
const HERE = "retouche work"; // of this tab, which a reload goes on with
const REST = 500; // milliseconds from a step until it is written: what it asks of the server goes first
const WHOLE = -1; // number of the tile that is set throughout

/** @param {IDBRequest} request @returns {Promise<any>} */
const answer = (request) =>
  new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

/** @type {Promise<IDBDatabase> | null} */
let opened = null;

function database() {
  opened ??= (() => {
    const request = indexedDB.open("retouche", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("works", { keyPath: "id" });
      request.result.createObjectStore("pieces"); // "ID NUMBER": tiles, fills; "ID source": the picture's file
    };
    return answer(request);
  })();
  return opened;
}

/**
 * One transaction over both stores.
 * @param {(works: IDBObjectStore, pieces: IDBObjectStore) => void} write @returns {Promise<void>} when it is on disk
 */
async function change(write) {
  const transaction = (await database()).transaction(["works", "pieces"], "readwrite");
  write(transaction.objectStore("works"), transaction.objectStore("pieces"));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done();
    transaction.onabort = transaction.onerror = () => failed(transaction.error);
  });
}

/** All pieces of a work. @param {string} id */
const piecesOf = (id) => IDBKeyRange.bound(`${id} `, `${id}!`, false, true); // "!" follows " "

// Writing -------------------------------------------------------------------------------------------------------------

/** The work on one document, as far as it is on disk. */
class Keeper {
  /** @param {Document} document @param {Work | null} work it goes on with */
  constructor(document, work) {
    this.document = document;
    this.id = work?.id ?? crypto.getRandomValues(new Uint32Array(3)).join("-");
    this.last = 0; // number given last
    /** @type {WeakMap<object, number>} of tiles and fills */
    this.numbers = new WeakMap([[FULL, WHOLE]]);
    /** @type {Set<number>} pieces on disk */
    this.stored = new Set();
    this.begun = Boolean(work);
    this.over = Promise.resolve();
    /** @type {Promise<void> | null} that has not begun yet */
    this.next = null;
    this.free = () => {};
    navigator.locks?.request(`retouche ${this.id}`, () => new Promise((done) => (this.free = () => done(null))));
    this.timer = 0;
    document.on(({ layer }) => layer === "steps" && this.soon());
  }

  soon() {
    this.timer ||= setTimeout(() => this.now(), REST);
  }

  /** Write what is not on disk yet, once what is being written is there. */
  now() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.next)
      this.next = this.over = this.over.then(() => {
        this.next = null;
        return this.write().catch(full);
      });
    return this.over;
  }

  async write() {
    const { document, id } = this,
      /** @type {Map<number, any>} */
      pieces = new Map();
    if (!this.begun && !document.done.length) return;
    const state = snapshot(document, (piece) => this.number(piece, pieces)),
      fresh = [...pieces].filter(([number]) => !this.stored.has(number)),
      values = await Promise.all(fresh.map(([, piece]) => packed(piece))),
      idle = [...this.stored].filter((number) => !pieces.has(number)),
      { name, path, listed, type, blob } = document.source;
    const { unsaved } = document,
      steps = document.done.length + document.undone.length;
    await change((works, store) => {
      works.put({ id, time: Date.now(), name, path, listed, unsaved, steps, state });
      if (!this.begun) store.put({ name, path, listed, type, blob }, `${id} source`);
      for (const [at, [number]] of fresh.entries()) store.put(values[at], `${id} ${number}`);
      for (const number of idle) store.delete(`${id} ${number}`);
    });
    this.begun = true;
    for (const [number] of fresh) this.stored.add(number);
    for (const number of idle) this.stored.delete(number);
    if (keeper === this) remember(id);
  }

  /** @param {any} piece tile or fill; none has no number @param {Map<number, any>} pieces where it is noted */
  number(piece, pieces) {
    if (!piece) return null;
    let number = this.numbers.get(piece);
    if (number === undefined) this.numbers.set(piece, (number = ++this.last));
    if (number !== WHOLE) pieces.set(number, piece);
    return number;
  }
}

/** Which work a reload of this tab goes on with. @param {string | null} id */
function remember(id) {
  try {
    if (id) sessionStorage.setItem(HERE, id);
    else sessionStorage.removeItem(HERE);
  } catch {
    // then a reload asks instead of going on
  }
}

let warned = false;

/** The database takes no more, or there is none. */
function full() {
  if (!warned) say(t("kept.not"), true);
  warned = true;
}

/** @param {Hole | undefined | null} hole @param {(piece: any) => number | null} number */
const holeOf = (hole, number) =>
  hole && {
    box: hole.box,
    count: hole.count,
    joined: hole.joined,
    tiles: [...hole.layer.tiles].map(([index, tile]) => [index, number(tile)]),
  };

/**
 * A document in plain values, its tiles and fills as numbers.
 * @param {Document} document @param {(piece: any) => number | null} number
 */
function snapshot(document, number) {
  const steps = [...document.done, ...document.undone],
    fills = [...new Set([...document.forgotten, ...document.fills, ...steps.flatMap(({ fill }) => fill ?? [])])];
  /** @param {Step} step */
  const plain = ({ label, changes, fill, hole, bytes, hidden }) => ({
    label,
    bytes,
    hidden: hidden?.map(({ index, before, after, inside }) => [
      index,
      number(before),
      number(after),
      number(inside),
    ]),
    fill: fill && fills.indexOf(fill),
    hole: holeOf(hole, number),
    changes: [...changes.values()].map(({ layer, index, before, after, inside }) => [
      layer,
      index,
      number(before),
      number(after),
      number(inside),
    ]),
  });
  const tiles = (name) => [...document.committed(name).tiles].map(([index, tile]) => [index, number(tile)]);
  return {
    layers: { mask: tiles("mask"), sketch: tiles("sketch"), pixels: tiles("pixels") },
    fills: fills.map((fill) => ({
      number: number(fill),
      hidden: fill.hidden,
      seen: fill.seen?.map((each) => fills.indexOf(each)).filter((at) => at >= 0),
      hole: holeOf(fill.hole, number),
    })),
    forgotten: document.forgotten.map((fill) => fills.indexOf(fill)),
    saved: document.saved.map((fill) => fills.indexOf(fill)),
    done: document.done.map(plain),
    undone: document.undone.map(plain),
  };
}

/** A piece as the database takes it. @param {Uint8Array | Fill} piece */
async function packed(piece) {
  if (piece instanceof Uint8Array) return piece;
  const { thumbnail, hole: _, seen: __, ...rest } = piece;
  return { ...rest, thumbnail: await file(thumbnail) };
}

/** @param {any} picture canvas or bitmap @returns {Promise<Blob | null>} */
async function file(picture) {
  if (!picture) return null;
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas.convertToBlob();
}

/** @type {Keeper | null} */
let keeper = null;

/**
 * Keep a document from now on; the one before stays as it is on disk.
 * @param {Document} document @param {Work | null} [work] that it goes on with
 */
export async function keep(document, work = null) {
  keeper?.now().then(keeper.free);
  const next = new Keeper(document, work);
  if (work) await revive(next, work);
  else remember(null);
  keeper = next;
}

/** @returns {Promise<void>} when all is on disk */
export const flush = async () => keeper?.now();

export function setUpKeeping() {
  addEventListener("pagehide", flush);
  document.addEventListener("visibilitychange", () => document.hidden && flush());
}

// Reading -------------------------------------------------------------------------------------------------------------

/**
 * The work to go on with: that of this tab where it was reloaded, else the newest that no other tab has open.
 * @returns {Promise<{work: Work, reloaded: boolean} | null>}
 */
export async function lastWork() {
  try {
    /** @type {Work[]} */
    const works = await answer((await database()).transaction("works").objectStore("works").getAll());
    works.sort((one, two) => two.time - one.time);
    const [entry] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation")),
      own = entry?.type === "reload" && works.find(({ id }) => id === sessionStorage.getItem(HERE));
    const held = new Set((await navigator.locks?.query())?.held?.map(({ name }) => name)),
      free = works.filter((work) => work === own || !held.has(`retouche ${work.id}`));
    await Promise.all(free.slice(MOST_WORKS).map(({ id }) => forget(id)));
    const work = own || free[0];
    return work ? { work, reloaded: work === own } : null;
  } catch {
    return null; // a browser that keeps nothing
  }
}

/** @param {string} id */
export const forget = (id) =>
  change((works, pieces) => {
    works.delete(id);
    pieces.delete(piecesOf(id));
  });

/** @param {Work} work @returns {Promise<Blob>} the picture's file */
export async function fileOf({ id }) {
  const source = await answer((await database()).transaction("pieces").objectStore("pieces").get(`${id} source`));
  return source.blob;
}

/** Put what was kept into a document of the same picture. @param {Keeper} keeper @param {Work} work */
async function revive(keeper, { id, state }) {
  const store = (await database()).transaction("pieces").objectStore("pieces"),
    range = piecesOf(id),
    [keys, values] = await Promise.all([answer(store.getAllKeys(range)), answer(store.getAll(range))]),
    /** @type {Map<number | null, any>} */
    pieces = new Map([[WHOLE, FULL]]);
  for (const [at, key] of keys.entries()) {
    const number = Number(key.slice(id.length + 1));
    if (Number.isNaN(number)) continue; // the picture's file
    pieces.set(number, values[at]);
    keeper.stored.add(number);
    keeper.numbers.set(values[at], number);
    keeper.last = Math.max(keeper.last, number);
  }
  const { document } = keeper,
    piece = (number) => pieces.get(number),
    tiles = (list) => new Map(list.map(([index, number]) => [index, piece(number)]));
  /** @param {any} hole @param {Step} step */
  const holeFrom = (hole, step) => {
    if (!hole) return null;
    const layer = new Layer(document.width, document.height, 1);
    layer.tiles = tiles(hole.tiles);
    return { ...hole, layer, step };
  };
  const fills = state.fills.map(({ number, hidden, hole }) =>
    Object.assign(piece(number), { hidden, hole: holeFrom(hole, null) }),
  );
  for (const [at, { seen }] of state.fills.entries()) fills[at].seen = seen?.map((each) => fills[each]);
  for (const fill of fills) if (fill.thumbnail) fill.thumbnail = await createImageBitmap(fill.thumbnail);
  /** @returns {Step} */
  const step = ({ label, bytes, fill, hole, changes, hidden }) => {
    /** @type {Step} */
    const made = { label, bytes, fill: fill === null ? null : fills[fill], hole: null, changes: new Map() };
    for (const [layer, index, before, after, inside] of changes)
      made.changes.set(`${layer} ${index}`, {
        layer,
        index,
        before: piece(before),
        after: piece(after),
        inside: piece(inside),
      });
    made.hole = holeFrom(hole, made);
    made.hidden = hidden?.map(([index, before, after, inside]) => ({
      layer: "pixels",
      index,
      before: piece(before),
      after: piece(after),
      inside: piece(inside),
    }));
    return made;
  };
  for (const [name, list] of Object.entries(state.layers)) document.layers[name].tiles = tiles(list);
  document.done = state.done.map(step);
  document.undone = state.undone.map(step);
  document.forgotten = state.forgotten.map((at) => fills[at]);
  document.list();
  document.saved = state.saved.map((at) => fills[at]);
  // a fill that was under way is gone: its hole is a part of the mask again
  for (const { hole } of [...document.done]) if (hole) document.pending.add(hole) && document.giveBack(hole);
}
