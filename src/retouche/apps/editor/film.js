// What lies over the picture: the mask as a veil with an outline and a pale rim of growth, the holes being filled with
// their light, the outline of the last fill. Only what has changed is made again; while panning it moves along.

import { TILE } from "./layer.js";
import { dilate, grown, intersection, union } from "./raster.js";

/** @typedef {import("./raster.js").Box} Box @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./steps.js").Hole} Hole */

const CELL = 8; // mask pixels that are drawn as one when zoomed out
const VEIL = 0x803c7aff,
  LIGHT = 0xf0ffffff,
  DARK = 0xd0101010,
  STROKE = 0xf5ffe680,
  GROWTH = 0x4d64a0ff,
  SOLID = 0x8264a0ff; // ABGR; growth where it blends, and where not
const MASK = 1,
  HOLE = 2, // outlined only
  SKETCH = 3;
const SEEN = 400, // milliseconds that the outline of a fill stays, and
  GONE = 900; // after which it has faded
const REST = 60; // milliseconds after which the rim is made: it is no part of a stroke
const MOST_PARTS = 48; // dirty boxes of a frame; more are made one

const REDUCED = new WeakMap(); // mask tile -> whether each cell holds a set pixel

/** @param {Uint8Array} tile */
function reduced(tile) {
  let cells = REDUCED.get(tile);
  if (cells) return cells;
  const side = TILE / CELL;
  cells = new Uint8Array(side * side);
  for (let at = 0; at < tile.length; at++)
    if (tile[at]) cells[Math.floor(at / TILE / CELL) * side + Math.floor((at % TILE) / CELL)] = 255;
  REDUCED.set(tile, cells);
  return cells;
}

export class Film {
  /** @param {import("./view.js").View} view */
  constructor(view) {
    this.view = view;
    this.canvas = view.overlay;
    this.context = this.canvas.getContext("2d", { desynchronized: true });
    this.veil = new OffscreenCanvas(1, 1); // the mask alone
    this.rim = new OffscreenCanvas(1, 1); // its growth alone
    this.place = ""; // what both were made for
    this.origin = { left: 0, top: 0 };
    /** @type {Box[]} of the picture, where the mask has changed */
    this.changes = [];
    /** @type {Box | null} where the rim is not up to date */
    this.unrimmed = null;
    /** @type {{hole: Hole, since: number} | null} the last fill's hole */
    this.pointed = null;
    this.sprites = new WeakMap(); // hole -> {key, at, canvas}
    this.frame = this.resting = this.ticking = 0;
    this.lights = false; // the next frame is for them alone
    this.composed = 0; // device pixels put together since the page was opened, for tests
    this.held = 0; // requests being made ready, before which no rim is made
    this.made = 0; // device pixels made since the page was opened, for tests
  }

  get all() {
    return { left: 0, top: 0, right: this.canvas.width, bottom: this.canvas.height };
  }

  /** Make everything again. */
  forget() {
    this.place = "";
  }

  /** @param {Layer} layer @param {Box | null} box of the picture in which it has changed */
  changed(layer, box) {
    if (!box) return this.forget();
    for (const index of layer.touched(box)) {
      const tile = layer.tiles.get(index);
      if (tile) REDUCED.delete(tile);
    }
    this.changes.push(box);
    if (this.changes.length > MOST_PARTS) this.changes = [this.changes.reduce(union)];
    this.draw();
  }

  /** The film alone, in the next frame. @param {boolean} [lights] only the holes being filled and the last fill's outline */
  draw(lights = false) {
    this.lights = lights && (this.lights || !this.frame);
    this.frame ||= requestAnimationFrame(() => this.paint(this.lights));
  }

  /**
   * Put the rim off while a request is made ready: it takes as long as that and can wait.
   * @returns {() => void} call it when the request has left; again does no harm
   */
  hold() {
    let holds = true;
    this.held++;
    return () => {
      if (!holds) return;
      holds = false;
      this.held--;
      this.draw();
    };
  }

  /** Show where a fill was, for a moment. @param {Hole} hole */
  point(hole) {
    this.pointed = { hole, since: performance.now() };
  }

  /** @param {boolean} [lights] only these have changed */
  paint(lights = false) {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.lights = false;
    const { view, canvas } = this;
    if (!view.document) return this.context.clearRect(0, 0, canvas.width, canvas.height);
    const { whole, parts } = this.keep();
    for (const part of parts) this.render(part);
    if (lights) for (const hole of this.lit) parts.push(grown(view.onScreen(hole.box), 2));
    this.compose(whole || !(lights || view.drawing) || !parts.length ? this.all : parts.reduce(union));
    if (this.unrimmed && !view.drawing && !this.held) {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.growth(), REST);
    }
    // what shows a preview stands still: the machine has better things to do
    const moves = !view.quiet.matches && [...view.document.pending].some((hole) => !view.previews.has(hole));
    if ((moves || this.pointed) && !this.ticking)
      this.ticking = setTimeout(() => {
        this.ticking = 0;
        this.draw(true);
      }, 50);
  }

  /** @returns {Hole[]} that change by themselves */
  get lit() {
    return [...this.view.document.pending, ...(this.pointed ? [this.pointed.hole] : [])];
  }

  /** Whether the mask itself is to be seen. */
  get shown() {
    return this.view.masked && !this.view.rested;
  }

  /**
   * Bring the veil to where the picture is now.
   * @returns {{whole: boolean, parts: Box[]}} whether more than these parts has changed; device pixels to make again
   */
  keep() {
    const { view, canvas, origin } = this,
      place = `${view.zoom} ${canvas.width} ${canvas.height} ${this.shown} ${view.ring} ${view.soft}`;
    const dx = (origin.left - view.left) * view.zoom,
      dy = (origin.top - view.top) * view.zoom,
      x = Math.round(dx),
      y = Math.round(dy);
    let parts = this.changes.map((box) => view.onScreen(box));
    this.changes = [];
    if (place === this.place && !x && !y && Math.abs(dx) + Math.abs(dy) < 0.02) return { whole: false, parts };
    const seen = Math.abs(x) < canvas.width && Math.abs(y) < canvas.height,
      moves = seen && Math.abs(dx - x) + Math.abs(dy - y) < 0.02;
    const { left, top, right, bottom } = this.all;
    if (place === this.place && moves) {
      for (const layer of [this.veil, this.rim]) {
        const context = layer.getContext("2d");
        context.globalCompositeOperation = "copy";
        context.drawImage(layer, x, y);
        context.globalCompositeOperation = "source-over";
      }
      // the outermost pixels were cut off, their outline with them
      if (x) parts.push(x > 0 ? { left, top, right: x + 2, bottom } : { left: right + x - 2, top, right, bottom });
      if (y) parts.push(y > 0 ? { left, top, right, bottom: y + 2 } : { left, top: bottom + y - 2, right, bottom });
      if (this.unrimmed)
        this.unrimmed = grown(
          {
            left: this.unrimmed.left + x,
            top: this.unrimmed.top + y,
            right: this.unrimmed.right + x,
            bottom: this.unrimmed.bottom + y,
          },
          1,
        );
    } else {
      for (const layer of [this.veil, this.rim]) Object.assign(layer, { width: canvas.width, height: canvas.height });
      parts = [];
      this.unrimmed = null;
      const { mask, sketch } = view.document.layers;
      if (this.shown)
        for (const layer of [mask, sketch]) {
          const { box } = layer.measure();
          if (box) parts.push(grown(view.onScreen(box), 2));
        }
    }
    this.place = place;
    this.origin = { left: view.left, top: view.top };
    return { whole: true, parts };
  }

  /** Make a part of the veil again. @param {Box} part device pixels */
  render(part) {
    const box = intersection(part, this.all);
    if (!box) return;
    this.unrimmed = this.unrimmed ? union(this.unrimmed, box) : box;
    const image = this.shown ? this.image(box) : new ImageData(box.right - box.left, box.bottom - box.top);
    this.veil.getContext("2d").putImageData(image, box.left, box.top);
    this.made += image.width * image.height;
  }

  /** @param {Box} box device pixels @returns {ImageData} mask and sketch */
  image(box) {
    const { mask, sketch } = this.view.document.layers,
      kinds = new Uint8Array((box.right - box.left + 2) * (box.bottom - box.top + 2));
    this.sample(mask, box, kinds, MASK);
    this.sample(sketch, box, kinds, SKETCH);
    return this.drawn(box, kinds);
  }

  /** @param {Box} box @param {Uint8Array} kinds of its pixels and of a rim around them @returns {ImageData} */
  drawn(box, kinds) {
    const width = box.right - box.left,
      height = box.bottom - box.top,
      wide = width + 2,
      image = new ImageData(width, height),
      pixels = new Uint32Array(image.data.buffer);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const at = (y + 1) * wide + x + 1,
          kind = kinds[at];
        const edge =
          kinds[at - 1] !== kind || kinds[at + 1] !== kind || kinds[at - wide] !== kind || kinds[at + wide] !== kind;
        if (kind === SKETCH) pixels[y * width + x] = STROKE;
        else if (edge) pixels[y * width + x] = kind ? LIGHT : DARK;
        else if (kind === MASK) pixels[y * width + x] = VEIL;
      }
    return image;
  }

  /** @param {Layer} layer @param {Box} box @param {Uint8Array} kinds @param {number} kind */
  sample(layer, box, kinds, kind) {
    if (!layer.tiles.size) return;
    const { view } = this,
      wide = box.right - box.left + 2,
      high = box.bottom - box.top + 2,
      small = view.zoom <= 0.25;
    const columns = new Int32Array(wide);
    for (let x = 0; x < wide; x++) columns[x] = Math.floor(view.left + (box.left + x - 0.5) / view.zoom);
    for (let y = 0; y < high; y++) {
      const row = Math.floor(view.top + (box.top + y - 0.5) / view.zoom);
      if (row < 0 || row >= layer.height) continue;
      const first = Math.floor(row / TILE) * layer.across,
        inside = row % TILE;
      for (let x = 0, index = -1, bytes = null; x < wide; x++) {
        const column = columns[x];
        if (column < 0 || column >= layer.width) continue;
        const at = first + Math.floor(column / TILE);
        if (at !== index) {
          index = at;
          bytes = layer.tiles.get(index) ?? null;
          if (bytes && small) bytes = reduced(bytes);
        }
        if (!bytes) continue;
        const local = column % TILE;
        const set = small
          ? bytes[Math.floor(inside / CELL) * (TILE / CELL) + Math.floor(local / CELL)]
          : bytes[inside * TILE + local];
        if (set) kinds[y * wide + x] = kind;
      }
    }
  }

  /** How far the hole will grow, and how soft its edge will be: a rim around the veil, paler where it blends. */
  growth() {
    const { view } = this;
    if (!this.unrimmed || view.drawing || this.held || !view.document) return;
    const reach = Math.round(view.ring * view.zoom),
      firm = Math.round((view.ring - view.soft) * view.zoom);
    const box = intersection(grown(this.unrimmed, reach + 2), this.all);
    this.unrimmed = null;
    if (!box) return;
    const around = grown(box, reach),
      width = around.right - around.left + 2,
      height = around.bottom - around.top + 2,
      context = this.rim.getContext("2d");
    context.clearRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    if (reach >= 1 && this.shown) {
      const kinds = new Uint8Array(width * height);
      this.sample(view.document.layers.mask, around, kinds, MASK);
      const far = dilate(kinds, width, height, reach),
        near = dilate(kinds, width, height, firm),
        image = new ImageData(box.right - box.left, box.bottom - box.top),
        pixels = new Uint32Array(image.data.buffer);
      for (let y = 0; y < image.height; y++)
        for (let x = 0; x < image.width; x++) {
          const at = (y + reach + 1) * width + x + reach + 1;
          if (far[at] && !kinds[at]) pixels[y * image.width + x] = near[at] ? SOLID : GROWTH;
        }
      context.putImageData(image, box.left, box.top);
    }
    this.draw();
  }

  /** Put the layers together. @param {Box} region device pixels */
  compose(region) {
    const { context, view } = this,
      box = intersection(region, this.all);
    if (!box) return;
    this.composed += (box.right - box.left) * (box.bottom - box.top);
    const now = performance.now();
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    context.clip();
    context.clearRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    if (view.side) {
      // the original has neither holes nor outlines
      context.beginPath();
      context.rect(view.side, 0, this.canvas.width, this.canvas.height);
      context.clip();
    }
    if (view.masked) {
      context.drawImage(this.rim, 0, 0);
      context.drawImage(this.veil, 0, 0);
      for (const hole of view.document.pending) this.light(hole, now);
      this.outline(now);
    }
    context.restore();
  }

  /** @param {Hole} hole @param {number} kind @returns {{at: Box, canvas: OffscreenCanvas} | null} as on the screen */
  sprite(hole, kind) {
    const { view } = this,
      at = intersection(grown(view.onScreen(hole.box), 2), this.all);
    if (!at) return null;
    const key = `${view.zoom} ${view.left} ${view.top} ${at.right} ${at.bottom} ${kind}`,
      known = this.sprites.get(hole);
    if (known?.key === key) return known;
    const kinds = new Uint8Array((at.right - at.left + 2) * (at.bottom - at.top + 2));
    this.sample(hole.layer, at, kinds, kind);
    const canvas = new OffscreenCanvas(at.right - at.left, at.bottom - at.top);
    canvas.getContext("2d").putImageData(this.drawn(at, kinds), 0, 0);
    const found = { key, at, canvas };
    this.sprites.set(hole, found);
    return found;
  }

  /** A hole being filled: a slow light inside it, and only there. @param {Hole} hole @param {number} now */
  light(hole, now) {
    const seen = this.view.previews.has(hole),
      sprite = this.sprite(hole, seen ? HOLE : MASK);
    if (!sprite) return;
    const { at, canvas } = sprite;
    if (this.view.quiet.matches || seen) return this.context.drawImage(canvas, at.left, at.top);
    const lit = new OffscreenCanvas(canvas.width, canvas.height),
      context = lit.getContext("2d"),
      middle = (((now % 2400) / 2400) * 2 - 0.5) * canvas.width;
    context.drawImage(canvas, 0, 0);
    const light = context.createLinearGradient(middle - canvas.width / 2, 0, middle + canvas.width / 2, 0);
    light.addColorStop(0, "rgba(255, 255, 255, 0)");
    light.addColorStop(0.5, "rgba(255, 255, 255, 0.55)");
    light.addColorStop(1, "rgba(255, 255, 255, 0)");
    context.globalCompositeOperation = "source-atop";
    context.fillStyle = light;
    context.fillRect(0, 0, lit.width, lit.height);
    this.context.drawImage(lit, at.left, at.top);
  }

  /** The outline of the last fill, fading. @param {number} now */
  outline(now) {
    if (!this.pointed) return;
    const age = now - this.pointed.since;
    if (age > GONE) this.pointed = null;
    else {
      const sprite = this.sprite(this.pointed.hole, HOLE);
      if (!sprite) return;
      this.context.globalAlpha = this.view.quiet.matches ? 1 : Math.min(1, (GONE - age) / (GONE - SEEN));
      this.context.drawImage(sprite.canvas, sprite.at.left, sprite.at.top);
      this.context.globalAlpha = 1;
    }
  }
}
