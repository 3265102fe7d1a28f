// A picture's layers, and undo over all of them: gestures are made of changes to tiles, and results join the history
// below what was done since. No DOM here: the same file runs in Node's tests.

import { FULL, Layer, TILE, same, written } from "./layer.js";

/** @typedef {import("./raster.js").Box} Box */

export const STEPS = 100;
export const UNDO_BYTES = 256 << 20;

/**
 * @typedef {"mask" | "sketch" | "pixels"} LayerName
 * @typedef {{name: string, path?: string | null, listed?: boolean, deep?: boolean, type: string, width: number,
 *   height: number, blob: Blob | null, read: (box: Box) => Uint8ClampedArray}} Source the picture as it came; `read`
 *   gives RGBA of a box; `listed` if it lies in a folder of this computer, `deep` if it has 16 bits
 * @typedef {{model: string, label: string, options: any, report: any, mask: Blob | null, sketch?: Blob | null, box: Box,
 *   seam: number | null, waited?: number, hole?: Hole, hidden?: boolean, seen?: Fill[], thumbnail?: OffscreenCanvas,
 *   deep?: import("./deep.js").Patch[]}} Fill what a fill was done with, and of a deep source what it made
 * @typedef {{layer: LayerName, index: number, before?: Uint8Array, after?: Uint8Array, inside?: Uint8Array}} Change
 *   of a tile; `inside`: what of it a fill has set, be it to what was there
 * @typedef {{label: string, changes: Map<string, Change>, fill: Fill | null, hole: Hole | null, bytes: number,
 *   hidden?: Change[]}} Step one gesture or command; `hole` while the fill that it began is under way; `hidden`: what its
 *   fill changed, while it is not shown
 * @typedef {{layer: Layer, box: Box, count: number, step: Step, joined: boolean}} Hole a hole on its way to a fill, no
 *   longer part of the mask; `joined` if one gesture painted it and asked for the fill
 */

export class Steps {
  /** @param {Source} source */
  constructor(source) {
    this.source = source;
    this.width = source.width;
    this.height = source.height;
    this.layers = {
      mask: new Layer(source.width, source.height, 1),
      sketch: new Layer(source.width, source.height, 1),
      pixels: new Layer(source.width, source.height, 4),
    };
    /** @type {Fill[]} those of `forgotten` steps and of those done, in the order of their gestures */
    this.fills = [];
    /** @type {Fill[]} */
    this.forgotten = [];
    /** @type {Set<Hole>} whose fills are under way, the oldest first */
    this.pending = new Set();
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
    /** @type {Map<string, Change> | null} what the gesture under way has changed */
    this.open = null;
    this.saved = this.fills;
    this.made = false; // the source itself was made here, and lies nowhere yet
    /** @type {Set<(what: {layer: string, box: Box | null}) => void>} */
    this.listeners = new Set();
  }

  get box() {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  get unsaved() {
    return this.made || !alike(this.saved, this.visible);
  }

  /** @returns {Fill[]} that are shown */
  get visible() {
    return this.fills.filter((fill) => !fill.hidden);
  }

  /** @returns {Fill[]} that were taken back, the next to come again first */
  get undoneFills() {
    return this.undone.flatMap((step) => step.fill ?? []).reverse();
  }

  /** @param {(what: {layer: string, box: Box | null}) => void} listener */
  on(listener) {
    this.listeners.add(listener);
  }

  /** @param {string} layer @param {Box | null} box */
  tell(layer, box) {
    for (const listener of this.listeners) listener({ layer, box });
  }

  // Gestures: everything between begin and commit is one step of undo ---------------------------------------------

  begin() {
    if (this.open) this.commit("change");
    this.open = new Map();
  }

  /** A tile that may be written to, kept as it was for undo. @param {LayerName} name @param {number} index */
  writable(name, index) {
    const layer = this.layers[name],
      key = `${name} ${index}`;
    let tile = layer.tiles.get(index);
    if (!this.open.has(key)) {
      this.open.set(key, { layer: name, index, before: tile });
      tile = tile ? tile.slice() : name === "pixels" ? this.sourceTile(index) : new Uint8Array(TILE * TILE);
      layer.tiles.set(index, tile);
    }
    written(tile);
    return tile;
  }

  /** @param {number} index @returns {Uint8Array} RGBA of the source, TILE rows of TILE pixels */
  sourceTile(index) {
    const box = this.layers.pixels.box(index),
      width = box.right - box.left;
    const bytes = this.source.read(box),
      tile = new Uint8Array(TILE * TILE * 4);
    for (let y = 0; y < box.bottom - box.top; y++)
      tile.set(bytes.subarray(y * width * 4, (y + 1) * width * 4), y * TILE * 4);
    return tile;
  }

  /** @param {string} label what the step is called @returns {boolean} whether anything changed */
  commit(label) {
    const step = made(label);
    for (const [key, change] of this.open ?? []) {
      change.after = this.layers[change.layer].tiles.get(change.index);
      step.changes.set(key, change);
    }
    this.open = null;
    for (const change of this.prune(step)) this.put(change, change.before);
    return this.push(step);
  }

  /** Forget the gesture under way. */
  cancel() {
    for (const change of this.open?.values() ?? []) {
      this.put(change, change.before);
      this.tell(change.layer, this.layers[change.layer].box(change.index));
    }
    this.open = null;
  }

  /** @param {Change} change @param {Uint8Array | undefined} tile */
  put(change, tile) {
    const { tiles } = this.layers[change.layer];
    if (tile) tiles.set(change.index, tile);
    else tiles.delete(change.index);
  }

  // Steps: commands and results join the history without touching the gesture under way ---------------------------

  /** @param {Step} step @returns {boolean} whether it is one */
  push(step) {
    if (!step.changes.size && !step.fill && !step.hole) return false;
    this.done.push(step);
    this.undone = [];
    this.settled(step);
    return true;
  }

  /** Take unchanged tiles out of a step. @param {Step} step @returns {Change[]} of which tiles */
  prune(step) {
    const idle = [...step.changes].filter(([, each]) => same(each.before, each.after, each.layer === "pixels"));
    for (const [key] of idle) step.changes.delete(key);
    return idle.map(([, change]) => change);
  }

  /** After a step was made or altered: weigh it, forget the oldest, list the fills. @param {Step} step */
  settled(step) {
    step.bytes = [...step.changes.values(), ...(step.hidden ?? [])].reduce((sum, each) => sum + held(each.before) + held(each.after), 0);
    let total = this.done.reduce((sum, each) => sum + each.bytes, 0);
    while (this.done.length > STEPS || (total > UNDO_BYTES && this.done.length > 1)) {
      const oldest = this.done.shift();
      total -= oldest.bytes;
      if (oldest.fill) this.forgotten.push(oldest.fill);
    }
    this.list();
    this.tell("steps", null);
  }

  list() {
    const fills = [...this.forgotten, ...this.done.flatMap((step) => step.fill ?? [])];
    if (!alike(fills, this.fills)) this.fills = fills;
  }

  /**
   * Change a tile as a step left it. What came after stays on top: later steps, the gesture under way, what was undone.
   * @param {Step} step done, or about to be pushed @param {LayerName} name @param {number} index
   * @param {(tile: Uint8Array | undefined) => Uint8Array | undefined} make gives another tile, or the same one
   */
  alter(step, name, index, make) {
    const key = `${name} ${index}`,
      at = this.done.indexOf(step),
      later = at < 0 ? [] : this.done.slice(at + 1).flatMap((each) => each.changes.get(key) ?? []),
      gesture = this.open?.get(key),
      own = step.changes.get(key),
      next = later[0] ?? gesture;
    const { tiles } = this.layers[name],
      was = own ? own.after : next ? next.before : tiles.get(index);
    let now = make(was);
    if (now === was) return;
    if (own) own.after = now;
    else step.changes.set(key, { layer: name, index, before: was, after: now });
    /** @param {Change} change @param {Uint8Array | undefined} after */
    const rebase = (change, after) => {
      const moved = this.onto(change, after, now);
      change.before = now;
      return moved;
    };
    for (const change of later) now = change.after = rebase(change, change.after);
    const shown = gesture ? rebase(gesture, tiles.get(index)) : now;
    this.put({ layer: name, index }, shown);
    for (const each of [...this.undone].reverse()) {
      const change = each.changes.get(key);
      if (change) now = change.after = rebase(change, change.after);
    }
  }

  /**
   * Show a fill, or hide it: no step of its own, and what was done since stays on top.
   * @param {Fill} fill @param {boolean} on @returns {boolean} whether its step is still kept
   */
  reveal(fill, on) {
    const step = this.done.find((each) => each.fill === fill);
    if (!step) return false;
    if (on !== Boolean(fill.hidden)) return true;
    const layer = /** @type {"pixels"} */ ("pixels"),
      own = on ? step.hidden : [...step.changes.values()].filter((change) => change.layer === layer).map((each) => ({ ...each }));
    fill.hidden = !on;
    step.hidden = on ? undefined : own;
    for (const change of own) {
      const { index, before, after } = change;
      this.alter(step, layer, index, (was) => (on ? this.onto(change, after, was) : before));
      const live = step.changes.get(`${layer} ${index}`);
      if (live) live.inside = on ? change.inside : undefined; // hidden, it sets nothing
      this.tell(layer, this.layers.pixels.box(index));
    }
    this.settled(step);
    return true;
  }

  /** What a change makes of another tile. @param {Change} change @param {Uint8Array | undefined} after
   * @param {Uint8Array | undefined} base @returns {Uint8Array | undefined} */
  onto({ layer, index, before, inside }, after, base) {
    if (base === before) return after;
    const empty = () => (layer === "pixels" ? this.sourceTile(index) : new Uint8Array(TILE * TILE)),
      { channels } = this.layers[layer],
      tile = base ? base.slice() : empty(),
      old = before ?? empty(),
      young = after ?? empty(),
      differs = (at) => {
        for (let channel = at; channel < at + channels; channel++) if (old[channel] !== young[channel]) return true;
        return false;
      };
    for (let at = 0; at < tile.length; at += channels)
      if (inside ? inside[at / channels] : differs(at)) tile.set(young.subarray(at, at + channels), at);
    return tile;
  }

  /** A layer without the gesture under way. @param {LayerName} name */
  committed(name) {
    const layer = this.layers[name],
      copy = new Layer(layer.width, layer.height, layer.channels);
    copy.tiles = new Map(layer.tiles);
    for (const change of this.open?.values() ?? []) {
      if (change.layer !== name) continue;
      if (change.before) copy.tiles.set(change.index, change.before);
      else copy.tiles.delete(change.index);
    }
    return copy;
  }

  /** @returns {string | null} what was done again */
  redo() {
    return this.open ? null : this.travel(this.undone, this.done, "after");
  }

  /** @param {Step[]} from @param {Step[]} to @param {"before" | "after"} side */
  travel(from, to, side) {
    const step = from.pop();
    if (!step) return null;
    to.push(step);
    for (const change of step.changes.values()) {
      this.put(change, change[side]);
      this.tell(change.layer, this.layers[change.layer].box(change.index));
    }
    this.list();
    this.tell("steps", null);
    return step.label;
  }
}

/** @param {string} label @returns {Step} of which nothing is changed yet */
export const made = (label) => ({ label, changes: new Map(), fill: null, hole: null, bytes: 0 });

/** @param {any[]} one @param {any[]} two */
const alike = (one, two) => one.length === two.length && one.every((each, at) => each === two[at]);

/** @param {Uint8Array | undefined} tile */
const held = (tile) => (tile && tile !== FULL ? tile.length : 0);
