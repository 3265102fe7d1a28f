// The state of one picture being worked on: its changed pixels, the mask, the sketch, the fills, and undo over all.
// No DOM here: the same file runs in Node's tests.

import * as raster from "./raster.js";

/** @typedef {import("./raster.js").Box} Box */

export const TILE = 256;
export const STEPS = 100;
export const UNDO_BYTES = 256 << 20;
const FULL = new Uint8Array(TILE * TILE).fill(255); // shared by all tiles that are set throughout
const CELL = 64; // grid on which holes are grouped, pixels
const WHOLE = 1 << 20; // pixels of a picture that travels as a whole

/** A plane of values kept as tiles; a tile that is not there is empty (mask, sketch) or the source's (pixels). */
export class Layer {
  /** @param {number} width @param {number} height @param {1 | 4} channels */
  constructor(width, height, channels) {
    this.width = width;
    this.height = height;
    this.channels = channels;
    this.across = Math.ceil(width / TILE);
    this.down = Math.ceil(height / TILE);
    /** @type {Map<number, Uint8Array>} */
    this.tiles = new Map();
  }

  /** @param {number} index @returns {Box} where a tile lies, cut at the picture's border */
  box(index) {
    const left = (index % this.across) * TILE,
      top = Math.floor(index / this.across) * TILE;
    return { left, top, right: Math.min(left + TILE, this.width), bottom: Math.min(top + TILE, this.height) };
  }

  /** @param {Box} box @returns {number[]} tiles it touches */
  touched(box) {
    const found = [];
    const inside = raster.intersection(box, { left: 0, top: 0, right: this.width, bottom: this.height });
    if (!inside) return found;
    for (let y = Math.floor(inside.top / TILE); y <= Math.floor((inside.bottom - 1) / TILE); y++)
      for (let x = Math.floor(inside.left / TILE); x <= Math.floor((inside.right - 1) / TILE); x++)
        found.push(y * this.across + x);
    return found;
  }

  /** @param {number} x @param {number} y @returns {number} the value of a one-channel layer */
  at(x, y) {
    const tile = this.tiles.get(Math.floor(y / TILE) * this.across + Math.floor(x / TILE));
    return tile ? tile[(y % TILE) * TILE + (x % TILE)] : 0;
  }

  /** @param {Box} box inside the picture @returns {Uint8Array} the values of a one-channel layer, row by row */
  read(box) {
    const width = box.right - box.left,
      bytes = new Uint8Array(width * (box.bottom - box.top));
    for (const index of this.touched(box)) {
      const tile = this.tiles.get(index);
      if (!tile) continue;
      const here = this.box(index),
        part = raster.intersection(here, box);
      for (let y = part.top; y < part.bottom; y++) {
        const from = (y - here.top) * TILE - here.left;
        bytes.set(tile.subarray(from + part.left, from + part.right), (y - box.top) * width + part.left - box.left);
      }
    }
    return bytes;
  }

  /** @returns {{box: Box | null, count: number}} bounding box and number of set pixels of a one-channel layer */
  measure() {
    let box = null,
      count = 0;
    for (const [index, tile] of this.tiles) {
      const here = this.box(index);
      const found = tile === FULL ? { box: here, count: raster.area(here) } : measured(tile, here);
      if (!found.count) continue;
      count += found.count;
      box = box ? raster.union(box, found.box) : found.box;
    }
    return { box, count };
  }
}

const MEASURES = new WeakMap(); // tile -> {box, count}; forgotten when the tile is written to

/** @param {Uint8Array} tile @param {Box} here */
function measured(tile, here) {
  const known = MEASURES.get(tile);
  if (known) return known;
  let left = Infinity,
    top = Infinity,
    right = -1,
    bottom = -1,
    count = 0;
  for (let y = 0; y < here.bottom - here.top; y++)
    for (let x = 0; x < here.right - here.left; x++) {
      if (!tile[y * TILE + x]) continue;
      count++;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  const { left: x, top: y } = here;
  const box = { left: x + left, top: y + top, right: x + right + 1, bottom: y + bottom + 1 };
  const found = { box: count ? box : null, count };
  MEASURES.set(tile, found);
  return found;
}

/**
 * @typedef {"mask" | "sketch" | "pixels"} LayerName
 * @typedef {{name: string, path?: string | null, listed?: boolean, deep?: boolean, type: string, width: number,
 *   height: number, blob: Blob | null, read: (box: Box) => Uint8ClampedArray}} Source the picture as it came; `read`
 *   gives RGBA of a box; `listed` if it lies in a folder of this computer, `deep` if it has 16 bits
 * @typedef {{model: string, label: string, options: object, report: object | null, mask: Blob | null, box: Box,
 *   seam: number | null, deep?: import("./deep.js").Patch[]}} Fill what a fill was done with, and of a deep source what
 *   it made
 * @typedef {{layer: LayerName, index: number, before?: Uint8Array, after?: Uint8Array}} Change
 * @typedef {{label: string, changes: Map<string, Change>, fill: Fill | null, hole: Hole | null, bytes: number}} Step one
 *   gesture or command; `hole` while the fill that it began is under way
 * @typedef {{layer: Layer, box: Box, count: number, step: Step, joined: boolean}} Hole a hole on its way to a fill, no
 *   longer part of the mask; `joined` if one gesture painted it and asked for the fill
 */

export class Document {
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
    /** @type {Set<(what: {layer: string, box: Box | null}) => void>} */
    this.listeners = new Set();
  }

  get box() {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  get unsaved() {
    return !alike(this.saved, this.fills);
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
    MEASURES.delete(tile);
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
    step.bytes = [...step.changes.values()].reduce((sum, each) => sum + held(each.before) + held(each.after), 0);
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

  /** What a change makes of another tile. @param {Change} change @param {Uint8Array | undefined} after
   * @param {Uint8Array | undefined} base @returns {Uint8Array | undefined} */
  onto({ layer, index, before }, after, base) {
    if (base === before) return after;
    const empty = () => (layer === "pixels" ? this.sourceTile(index) : new Uint8Array(TILE * TILE)),
      { channels } = this.layers[layer],
      tile = base ? base.slice() : empty(),
      old = before ?? empty(),
      young = after ?? empty();
    for (let at = 0; at < tile.length; at += channels)
      for (let channel = at; channel < at + channels; channel++)
        if (old[channel] !== young[channel]) {
          tile.set(young.subarray(at, at + channels), at);
          break;
        }
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

  /** @returns {string | null} what was taken back */
  undo() {
    if (this.open) this.cancel();
    const hole = this.done[this.done.length - 1]?.hole;
    if (hole) {
      this.giveBack(hole);
      if (!hole.joined) return "fill";
    }
    return this.travel(this.done, this.undone, "before");
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

  // Holes on their way --------------------------------------------------------------------------------------------

  /**
   * Take the hole out of the mask, to be filled; what is painted from now on is another hole.
   * @param {boolean} joined to the step before, which painted it: both are one step of undo
   * @returns {Hole | null} null where there is none
   */
  lift(joined = false) {
    const layer = this.committed("mask"),
      { box, count } = layer.measure();
    if (!box) return null;
    const last = this.done[this.done.length - 1],
      step = joined && last && !last.hole && !last.fill ? last : made("fill"),
      hole = { layer, box, count, step, joined: step === last };
    for (const index of layer.tiles.keys()) this.alter(step, "mask", index, () => undefined);
    step.hole = hole;
    this.pending.add(hole);
    if (step === last) this.settled(step);
    else this.push(step);
    this.tell("mask", box);
    this.tell("pending", box);
    return hole;
  }

  /** Put a hole back into the mask: its fill is cancelled, or failed. @param {Hole} hole */
  giveBack(hole) {
    if (!this.pending.delete(hole)) return false;
    hole.step.hole = null;
    this.unite(hole);
    this.prune(hole.step);
    if (!hole.step.changes.size) this.done = this.done.filter((step) => step !== hole.step);
    this.settled(hole.step);
    this.tell("mask", hole.box);
    this.tell("pending", hole.box);
    return true;
  }

  /** Add a hole to the mask. @param {Layer} layer @param {string} label @returns {boolean} whether some of it was new */
  paint(layer, label) {
    const step = made(label);
    this.unite({ layer, step });
    this.prune(step);
    const changed = this.push(step);
    this.tell("mask", layer.measure().box);
    return changed;
  }

  /** @param {{layer: Layer, step: Step}} hole */
  unite({ layer, step }) {
    for (const [index, tile] of layer.tiles)
      this.alter(step, "mask", index, (old) => (old ? old.map((value, at) => value | tile[at]) : tile));
  }

  // Mask and sketch -------------------------------------------------------------------------------------------------

  /** Set runs of pixels inside a gesture. @param {"mask" | "sketch"} name @param {number} value 0 or 255 */
  runs(name, value) {
    const layer = this.layers[name];
    let dirty = null;
    const run = (y, left, right) => {
      if (y < 0 || y >= this.height) return;
      left = Math.max(0, left);
      right = Math.min(this.width, right);
      if (left >= right) return;
      const row = Math.floor(y / TILE) * layer.across,
        inside = (y % TILE) * TILE;
      for (let x = left; x < right;) {
        const column = Math.floor(x / TILE),
          end = Math.min(right, (column + 1) * TILE);
        const index = row + column;
        if (value || layer.tiles.has(index)) {
          const first = inside + x - column * TILE;
          this.writable(name, index).fill(value, first, first + end - x);
        }
        x = end;
      }
      const here = { left, top: y, right, bottom: y + 1 };
      dirty = dirty ? raster.union(dirty, here) : here;
    };
    const end = () => {
      if (dirty) this.tell(name, dirty);
      dirty = null;
    };
    return { run, end };
  }

  /**
   * Replace the mask inside a box, add to it, or subtract from it, in one step.
   * @param {Box} box @param {Uint8Array} bytes @param {string} label @param {"mask" | "sketch"} name
   * @param {"replace" | "add" | "subtract"} combine
   */
  setMask(box, bytes, label, name = "mask", combine = "replace") {
    const layer = this.layers[name],
      width = box.right - box.left,
      step = made(label);
    for (const index of layer.touched(box)) {
      const here = layer.box(index),
        part = raster.intersection(here, box);
      this.alter(step, name, index, (old) => {
        const tile = old ? old.slice() : new Uint8Array(TILE * TILE);
        for (let y = part.top; y < part.bottom; y++)
          for (let x = part.left; x < part.right; x++) {
            const at = (y - here.top) * TILE + x - here.left,
              set = bytes[(y - box.top) * width + x - box.left] > 127;
            if (combine === "replace") tile[at] = set ? 255 : 0;
            else if (set) tile[at] = combine === "add" ? 255 : 0;
          }
        return same(old, tile, false) ? old : tile;
      });
    }
    const changed = this.push(step);
    this.tell(name, box);
    return changed;
  }

  invert() {
    const layer = this.layers.mask,
      step = made("invert");
    for (let index = 0; index < layer.across * layer.down; index++)
      this.alter(step, "mask", index, (tile) =>
        !tile ? FULL : tile === FULL ? undefined : tile.map((value) => 255 - value),
      );
    this.push(step);
    this.tell("mask", this.box);
  }

  /** @param {"mask" | "sketch"} name */
  clear(name = "mask") {
    const step = made(name === "mask" ? "clear" : "clear sketch");
    for (const index of this.committed(name).tiles.keys()) this.alter(step, name, index, () => undefined);
    this.prune(step);
    const changed = this.push(step);
    this.tell(name, this.box);
    return changed;
  }

  /** Grow the mask by a disc, or shrink it (negative). @param {number} pixels */
  grow(pixels) {
    const mask = this.committed("mask"),
      { box: bounds } = mask.measure();
    if (!bounds) return false;
    const box = raster.intersection(raster.grown(bounds, Math.max(0, pixels) + 1), this.box);
    const width = box.right - box.left,
      height = box.bottom - box.top;
    let bytes = mask.read(box);
    if (pixels >= 0) bytes = raster.dilate(bytes, width, height, pixels);
    else
      bytes = raster
        .dilate(
          bytes.map((value) => 255 - value),
          width,
          height,
          -pixels,
        )
        .map((value) => 255 - value);
    return this.setMask(box, bytes, pixels >= 0 ? "grow" : "shrink");
  }

  // Pixels ----------------------------------------------------------------------------------------------------------

  /** @param {Box} box inside the picture @param {boolean} original as it came @returns {Uint8ClampedArray} RGBA */
  read(box, original = false) {
    const bytes = this.source.read(box),
      layer = this.layers.pixels,
      width = box.right - box.left;
    if (original) return bytes;
    for (const index of layer.touched(box)) {
      const tile = layer.tiles.get(index);
      if (!tile) continue;
      const here = layer.box(index),
        part = raster.intersection(here, box);
      for (let y = part.top; y < part.bottom; y++) {
        const from = ((y - here.top) * TILE + part.left - here.left) * 4;
        const to = ((y - box.top) * width + part.left - box.left) * 4;
        bytes.set(tile.subarray(from, from + (part.right - part.left) * 4), to);
      }
    }
    return bytes;
  }

  /**
   * The pixels that differ from the source's, tile by tile.
   * @returns {{box: Box, rgb: Uint8Array, inside: Uint8Array}[]}
   */
  changed() {
    const layer = this.layers.pixels,
      found = [];
    for (const [index, tile] of layer.tiles) {
      const box = layer.box(index),
        old = this.sourceTile(index);
      const width = box.right - box.left,
        height = box.bottom - box.top;
      const rgb = new Uint8Array(width * height * 3),
        inside = new Uint8Array(width * height);
      let any = false;
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const from = (y * TILE + x) * 4,
            to = y * width + x;
          rgb.set(tile.subarray(from, from + 3), to * 3);
          if (tile[from] === old[from] && tile[from + 1] === old[from + 1] && tile[from + 2] === old[from + 2])
            continue;
          inside[to] = 255;
          any = true;
        }
      if (any) found.push({ box, rgb, inside });
    }
    return found;
  }

  /**
   * Take results into the picture, inside their masks only, so that nothing else changes: in the step that asked for
   * them, below what was done since; without a hole in a step of their own.
   * @param {{box: Box, inside: Uint8Array, rgba: Uint8ClampedArray}[]} patches
   * @param {Fill} fill
   * @param {Hole | null} hole that was filled @param {boolean} keep it in the mask
   */
  apply(patches, fill, hole = null, keep = false) {
    const step = hole && this.done.includes(hole.step) ? hole.step : made("fill"),
      layer = this.layers.pixels;
    for (const patch of patches)
      for (const index of layer.touched(patch.box))
        this.alter(step, "pixels", index, (old) => this.patched(old, index, patch));
    step.fill = fill;
    step.label = "fill";
    if (hole) {
      this.pending.delete(hole);
      hole.step.hole = null;
      if (keep) this.unite({ ...hole, step });
      this.prune(step);
    }
    if (this.done.includes(step)) this.settled(step);
    else this.push(step);
    for (const patch of patches) this.tell("pixels", patch.box);
    if (hole) this.tell("pending", hole.box);
    if (hole && keep) this.tell("mask", hole.box);
  }

  /**
   * @param {Uint8Array | undefined} old @param {number} index of the tile
   * @param {{box: Box, inside: Uint8Array, rgba: Uint8ClampedArray}} patch
   */
  patched(old, index, { box, inside, rgba }) {
    const here = this.layers.pixels.box(index),
      part = raster.intersection(here, box),
      width = box.right - box.left;
    let tile = null;
    for (let y = part.top; y < part.bottom; y++)
      for (let x = part.left; x < part.right; x++) {
        const from = (y - box.top) * width + x - box.left;
        if (!inside[from]) continue;
        tile ??= old ? old.slice() : this.sourceTile(index);
        const to = ((y - here.top) * TILE + x - here.left) * 4;
        for (let channel = 0; channel < 3; channel++) tile[to + channel] = rgba[from * 4 + channel];
      }
    return tile ?? old;
  }

  // What travels ----------------------------------------------------------------------------------------------------

  /** Pixels by which a mask grows unless told otherwise; halves go to the even number, as the server's do. */
  get defaultDilation() {
    const exact = Math.max(this.width, this.height) / 256,
      floor = Math.floor(exact);
    const rounded = exact - floor === 0.5 ? floor + (floor % 2) : Math.round(exact);
    return Math.max(1, rounded);
  }

  /**
   * Crops that hold all holes with their surroundings; holes whose crops meet share one.
   * @param {number} reach pixels the mask grows by
   * @param {"near" | "wide" | "whole"} context @param {Layer} mask
   * @returns {Box[]}
   */
  crops(reach, context = "near", mask = this.layers.mask) {
    const { box: bounds } = mask.measure();
    if (!bounds) return [];
    if (context === "whole" || this.width * this.height <= WHOLE) return [this.box];
    let crops = this.groups(mask).map((box) => {
      const longest = Math.max(box.right - box.left, box.bottom - box.top);
      const margin = Math.max(256, Math.round(longest * (context === "wide" ? 2 : 0.75))) + reach;
      return raster.intersection(raster.grown(box, margin), this.box);
    });
    for (let merged = true; merged;) {
      merged = false;
      outer: for (let one = 0; one < crops.length; one++)
        for (let two = one + 1; two < crops.length; two++)
          if (raster.intersection(crops[one], crops[two])) {
            crops[one] = raster.union(crops[one], crops[two]);
            crops = crops.filter((_, index) => index !== two);
            merged = true;
            break outer;
          }
    }
    return crops;
  }

  /** @param {Layer} layer @returns {Box[]} bounding boxes of holes, those less than a cell apart together */
  groups(layer) {
    const across = Math.ceil(this.width / CELL),
      cells = new Map();
    for (const [index, tile] of layer.tiles) {
      const here = layer.box(index);
      for (let y = here.top; y < here.bottom; y++)
        for (let x = here.left; x < here.right; x++) {
          if (!tile[(y - here.top) * TILE + x - here.left]) continue;
          const key = Math.floor(y / CELL) * across + Math.floor(x / CELL),
            cell = cells.get(key);
          if (!cell) cells.set(key, { left: x, top: y, right: x + 1, bottom: y + 1 });
          else {
            if (x < cell.left) cell.left = x;
            if (x >= cell.right) cell.right = x + 1;
            if (y >= cell.bottom) cell.bottom = y + 1;
          }
        }
    }
    const found = [];
    while (cells.size) {
      const [first] = cells.keys(),
        stack = [first];
      let box = cells.get(first);
      while (stack.length) {
        const key = stack.pop(),
          cell = cells.get(key);
        if (!cell) continue;
        cells.delete(key);
        box = raster.union(box, cell);
        const column = key % across;
        for (let dy = -1; dy <= 1; dy++)
          for (let dx = -1; dx <= 1; dx++)
            if (column + dx >= 0 && column + dx < across) stack.push(key + dy * across + dx);
      }
      found.push(box);
    }
    return found;
  }
}

/** @param {string} label @returns {Step} of which nothing is changed yet */
const made = (label) => ({ label, changes: new Map(), fill: null, hole: null, bytes: 0 });

/** @param {any[]} one @param {any[]} two */
const alike = (one, two) => one.length === two.length && one.every((each, at) => each === two[at]);

/** @param {Uint8Array | undefined} tile */
const held = (tile) => (tile && tile !== FULL ? tile.length : 0);

/**
 * @param {Uint8Array | undefined} one @param {Uint8Array | undefined} two
 * @param {boolean} pixels a missing tile is the source's, not an empty one
 */
function same(one, two, pixels) {
  if (one === two) return true;
  if (!one || !two) return !pixels && (one ?? two).every((value) => value === 0);
  for (let at = 0; at < one.length; at++) if (one[at] !== two[at]) return false;
  return true;
}
