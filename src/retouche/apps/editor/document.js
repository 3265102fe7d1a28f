// The state of one picture being worked on: its changed pixels, the mask, the sketch, the fills, and undo over all.
// No DOM here: the same file runs in Node's tests.

import { cropsOf } from "./crops.js";
import { FULL, TILE, same } from "./layer.js";
import * as raster from "./raster.js";
import { Steps, made } from "./steps.js";

/** @typedef {import("./raster.js").Box} Box @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./steps.js").Fill} Fill @typedef {import("./steps.js").Hole} Hole */
/** @typedef {import("./steps.js").Source} Source @typedef {import("./steps.js").Step} Step */

export class Document extends Steps {
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
      for (const index of layer.touched(patch.box)) {
        this.alter(step, "pixels", index, (old) => this.patched(old, index, patch));
        const change = step.changes.get(`pixels ${index}`);
        if (change) change.inside = this.covered(change.inside, index, patch);
      }
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

  /**
   * What of a tile patches have set.
   * @param {Uint8Array | undefined} old @param {number} index @param {{box: Box, inside: Uint8Array}} patch
   */
  covered(old, index, { box, inside }) {
    const here = this.layers.pixels.box(index),
      part = raster.intersection(here, box),
      width = box.right - box.left,
      tile = old ? old.slice() : new Uint8Array(TILE * TILE);
    for (let y = part.top; y < part.bottom; y++)
      for (let x = part.left; x < part.right; x++)
        if (inside[(y - box.top) * width + x - box.left]) tile[(y - here.top) * TILE + x - here.left] = 1;
    return tile;
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
    return cropsOf(mask, reach, context);
  }
}
