// Draws a document: the picture as tiles, the mask as a veil with an outline, zoom, pan, compare. Changes nothing.

import { TILE } from "./document.js";
import { intersection } from "./raster.js";

/** @typedef {import("./raster.js").Box} Box @typedef {import("./document.js").Document} Document */

const BIG = 1024; // side of a picture tile
const OVERVIEW = 2048; // longest side of the picture that is drawn when zoomed out
const NEAR = 2; // from this zoom on single pixels are shown
const CELL = 8; // mask pixels that are drawn as one when zoomed out
const FADE = 150; // milliseconds
const VEIL = 0x803c7aff,
  LIGHT = 0xf0ffffff,
  DARK = 0xd0101010,
  STROKE = 0xf5ffe680; // ABGR
const RING = "rgba(255, 160, 100, 0.3)";

/** The source's pixels, as bitmaps to draw and bytes to read. */
export class Tiles {
  width = 0;
  height = 0;
  scale = 1; // of the overview
  overview = new OffscreenCanvas(1, 1);
  /** @type {(Box & {image: ImageBitmap})[]} */
  list = [];

  /** @param {ImageBitmap} bitmap of the whole picture; it is closed */
  static async from(bitmap) {
    const tiles = new Tiles();
    tiles.width = bitmap.width;
    tiles.height = bitmap.height;
    for (let top = 0; top < bitmap.height; top += BIG)
      for (let left = 0; left < bitmap.width; left += BIG) {
        const right = Math.min(left + BIG, bitmap.width),
          bottom = Math.min(top + BIG, bitmap.height);
        const image = await createImageBitmap(bitmap, left, top, right - left, bottom - top);
        tiles.list.push({ left, top, right, bottom, image });
      }
    const scale = Math.min(1, OVERVIEW / Math.max(bitmap.width, bitmap.height));
    tiles.overview = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
    tiles.scale = scale;
    const context = tiles.overview.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, tiles.overview.width, tiles.overview.height);
    bitmap.close();
    return tiles;
  }

  /** @param {Box} box inside the picture @returns {Uint8ClampedArray} RGBA */
  read(box) {
    const width = box.right - box.left,
      height = box.bottom - box.top;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    for (const tile of this.list)
      if (intersection(tile, box)) context.drawImage(tile.image, tile.left - box.left, tile.top - box.top);
    return context.getImageData(0, 0, width, height).data;
  }

  close() {
    for (const tile of this.list) tile.image.close();
  }
}

const CANVASES = new WeakMap(); // bytes -> canvas
const REDUCED = new WeakMap(); // mask tile -> whether each cell holds a set pixel

/**
 * @param {Uint8Array | Uint8ClampedArray} bytes RGBA @param {number} width @param {number} height
 * @param {Uint8Array | null} inside what is opaque; null = all
 */
function canvasOf(bytes, width, height, inside = null) {
  let canvas = CANVASES.get(bytes);
  if (canvas) return canvas;
  const data = new ImageData(new Uint8ClampedArray(bytes), width, height);
  if (inside) for (let at = 0; at < inside.length; at++) data.data[at * 4 + 3] = inside[at] ? 255 : 0;
  canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(data, 0, 0);
  CANVASES.set(bytes, canvas);
  return canvas;
}

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

export class View {
  /** @param {HTMLElement} stage holding the canvases "picture" and "overlay" */
  constructor(stage) {
    this.stage = stage;
    this.picture = /** @type {HTMLCanvasElement} */ (stage.querySelector("#picture"));
    this.overlay = /** @type {HTMLCanvasElement} */ (stage.querySelector("#overlay"));
    this.paper = this.picture.getContext("2d", { alpha: false, desynchronized: true });
    this.film = this.overlay.getContext("2d", { desynchronized: true });
    this.veil = new OffscreenCanvas(1, 1); // the mask alone, as on the overlay
    /** @type {Document | null} */
    this.document = null;
    /** @type {Tiles | null} */
    this.tiles = null;
    this.zoom = 1; // device pixels for one of the picture's
    this.left = 0; // the picture's point at the stage's corner
    this.top = 0;
    this.before = false; // the original alone
    /** @type {number | null} share of the stage left of which the original shows */
    this.divider = null;
    this.maskShown = true;
    this.ring = 0; // pixels of growth that are hinted at
    this.soft = 0; // the outermost of them that blend
    this.drawing = false; // a gesture is under way: only what it touches is redrawn
    /** @type {{box: Box, bytes: Uint8Array} | null} the last fill's hole, as an outline */
    this.ghost = null;
    /** @type {Set<{box: Box}>} holes being filled */
    this.busy = new Set();
    /** @type {{box: Box, rgba: Uint8ClampedArray, inside: Uint8Array}[] | null} results not yet taken */
    this.preview = null;
    /** @type {{image: OffscreenCanvas, started: number} | null} */
    this.fade = null;
    /** @type {() => void} called after each change of zoom or place */
    this.moved = () => {};
    this.quiet = matchMedia("(prefers-reduced-motion: reduce)");
    this.pending = 0;
    new ResizeObserver(() => this.resize()).observe(stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.resize();
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  /** @param {Document} document @param {Tiles} tiles */
  show(document, tiles) {
    this.tiles?.close();
    this.document = document;
    this.tiles = tiles;
    this.ghost = this.preview = this.fade = null;
    this.busy.clear();
    document.on(({ layer, box }) => {
      if (layer === "steps") return;
      if (layer === "pixels" || !box) return this.draw();
      for (const index of document.layers[layer].touched(box)) {
        const tile = document.layers[layer].tiles.get(index);
        if (tile) REDUCED.delete(tile);
      }
      if (this.drawing) this.drawMask(this.onScreen(box));
      else this.draw();
    });
    this.fit();
  }

  resize() {
    const width = Math.max(1, Math.round(this.stage.clientWidth * this.ratio));
    const height = Math.max(1, Math.round(this.stage.clientHeight * this.ratio));
    if (this.picture.width === width && this.picture.height === height) return;
    const fitted = this.fitted;
    for (const canvas of [this.picture, this.overlay, this.veil]) Object.assign(canvas, { width, height });
    if (fitted && this.document) this.fit();
    this.draw(true);
  }

  // Place -----------------------------------------------------------------------------------------------------------

  fit() {
    if (!this.document) return;
    const { width, height } = this.document,
      edge = 24 * this.ratio;
    const across = (this.picture.width - edge * 2) / width,
      down = (this.picture.height - edge * 2) / height;
    this.zoom = Math.max(0.01, Math.min(across, down, this.ratio * 4));
    this.left = width / 2 - this.picture.width / this.zoom / 2;
    this.top = height / 2 - this.picture.height / this.zoom / 2;
    this.fitted = true;
    this.draw();
    this.moved();
  }

  /** @param {number} zoom in screen pixels @param {number} [x] @param {number} [y] stage point that stays */
  zoomTo(zoom, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const at = this.toPicture(x, y);
    this.zoom = Math.min(64, Math.max(0.01, zoom)) * this.ratio;
    this.left = at.x - (x * this.ratio) / this.zoom;
    this.top = at.y - (y * this.ratio) / this.zoom;
    this.settle();
  }

  /** @param {number} dx @param {number} dy stage pixels */
  pan(dx, dy) {
    this.left -= (dx * this.ratio) / this.zoom;
    this.top -= (dy * this.ratio) / this.zoom;
    this.settle();
  }

  /** Keep a part of the picture in sight. */
  settle() {
    if (!this.document) return;
    const across = this.picture.width / this.zoom,
      down = this.picture.height / this.zoom,
      share = 0.85;
    this.left = Math.max(-across * share, Math.min(this.document.width - across * (1 - share), this.left));
    this.top = Math.max(-down * share, Math.min(this.document.height - down * (1 - share), this.top));
    this.fitted = false;
    this.draw();
    this.moved();
  }

  /** Bring a point into sight. @param {number} x @param {number} y of the picture */
  reveal(x, y) {
    const here = this.toStage(x, y),
      edge = 32;
    const beyond = (at, size) => (at < edge ? edge - at : at > size - edge ? size - edge - at : 0);
    const dx = beyond(here.x, this.stage.clientWidth),
      dy = beyond(here.y, this.stage.clientHeight);
    if (dx || dy) this.pan(dx, dy);
  }

  /** @param {number} x @param {number} y stage pixels */
  toPicture(x, y) {
    return { x: this.left + (x * this.ratio) / this.zoom, y: this.top + (y * this.ratio) / this.zoom };
  }

  /** @param {number} x @param {number} y of the picture */
  toStage(x, y) {
    return { x: ((x - this.left) * this.zoom) / this.ratio, y: ((y - this.top) * this.zoom) / this.ratio };
  }

  /** @param {Box} box @returns {Box} device pixels, rounded outward */
  onScreen(box) {
    return {
      left: Math.floor((box.left - this.left) * this.zoom) - 2,
      top: Math.floor((box.top - this.top) * this.zoom) - 2,
      right: Math.ceil((box.right - this.left) * this.zoom) + 2,
      bottom: Math.ceil((box.bottom - this.top) * this.zoom) + 2,
    };
  }

  // Drawing ---------------------------------------------------------------------------------------------------------

  /** @param {boolean} now */
  draw(now = false) {
    if (now) return this.paint();
    this.pending ||= requestAnimationFrame(() => this.paint());
  }

  /** Keep what is shown, to fade from it. */
  remember() {
    if (this.quiet.matches) return;
    const image = new OffscreenCanvas(this.picture.width, this.picture.height);
    image.getContext("2d").drawImage(this.picture, 0, 0);
    this.fade = { image, started: performance.now() };
  }

  paint() {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    const { paper, picture } = this;
    paper.globalAlpha = 1;
    paper.fillStyle = getComputedStyle(this.stage).backgroundColor;
    paper.fillRect(0, 0, picture.width, picture.height);
    if (!this.document) return this.film.clearRect(0, 0, picture.width, picture.height);
    const side = Math.round((this.divider ?? 0) * picture.width);
    if (this.before) this.paintPicture(true);
    else if (this.divider === null) this.paintPicture(false);
    else {
      this.clipped(0, side, () => this.paintPicture(true));
      this.clipped(side, picture.width, () => this.paintPicture(false));
    }
    if (this.fade) {
      const share = 1 - (performance.now() - this.fade.started) / FADE;
      if (share > 0 && this.fade.image.width === picture.width) {
        paper.globalAlpha = share;
        paper.drawImage(this.fade.image, 0, 0);
        paper.globalAlpha = 1;
        this.draw();
      } else this.fade = null;
    }
    this.drawMask({ left: 0, top: 0, right: picture.width, bottom: picture.height });
    if (this.busy.size) this.shimmer();
  }

  /** @param {number} left @param {number} right @param {() => void} paint */
  clipped(left, right, paint) {
    this.paper.save();
    this.paper.beginPath();
    this.paper.rect(left, 0, right - left, this.picture.height);
    this.paper.clip();
    paint();
    this.paper.restore();
  }

  /** @param {boolean} original */
  paintPicture(original) {
    const { paper, zoom, document, tiles } = this;
    paper.imageSmoothingEnabled = zoom < NEAR * this.ratio;
    paper.imageSmoothingQuality = "high";
    /** @returns {[number, number, number, number] | null} */
    const place = (box) => {
      const left = Math.round((box.left - this.left) * zoom),
        top = Math.round((box.top - this.top) * zoom);
      const right = Math.round((box.right - this.left) * zoom),
        bottom = Math.round((box.bottom - this.top) * zoom);
      const seen = right > 0 && bottom > 0 && left < this.picture.width && top < this.picture.height;
      return seen ? [left, top, right - left, bottom - top] : null;
    };
    const whole = place(document.box);
    if (!whole) return;
    if (document.source.type !== "image/jpeg") this.checker(whole);
    if (zoom <= tiles.scale) paper.drawImage(tiles.overview, ...whole);
    else
      for (const tile of tiles.list) {
        const at = place(tile);
        if (at) paper.drawImage(tile.image, ...at);
      }
    if (original) return;
    const layer = document.layers.pixels;
    for (const [index, bytes] of layer.tiles) {
      const box = layer.box(index),
        at = place(box);
      if (!at) continue;
      const canvas = canvasOf(bytes, TILE, TILE);
      paper.drawImage(canvas, 0, 0, box.right - box.left, box.bottom - box.top, ...at);
    }
    for (const patch of this.preview ?? []) {
      const at = place(patch.box),
        width = patch.box.right - patch.box.left;
      if (at) paper.drawImage(canvasOf(patch.rgba, width, patch.box.bottom - patch.box.top, patch.inside), ...at);
    }
  }

  /** @param {number[]} at */
  checker(at) {
    if (!this.checks) {
      const tile = new OffscreenCanvas(16, 16),
        context = tile.getContext("2d");
      context.fillStyle = "#9a9a9a";
      context.fillRect(0, 0, 16, 16);
      context.fillStyle = "#8a8a8a";
      context.fillRect(0, 0, 8, 8);
      context.fillRect(8, 8, 8, 8);
      this.checks = this.paper.createPattern(tile, "repeat");
    }
    this.paper.fillStyle = this.checks;
    this.paper.fillRect(at[0], at[1], at[2], at[3]);
  }

  /** @param {Box} dirty device pixels */
  drawMask(dirty) {
    const all = { left: 0, top: 0, right: this.overlay.width, bottom: this.overlay.height };
    const box = intersection(dirty, all);
    if (!box || !this.document) return;
    const image = this.maskImage(box),
      whole = dirty.left <= 0 && dirty.right >= all.right && !this.drawing;
    this.veil.getContext("2d").putImageData(image, box.left, box.top);
    this.film.putImageData(image, box.left, box.top);
    clearTimeout(this.hinting); // only once the picture rests: it costs more than all the rest
    if (whole && this.ring > 0 && this.maskShown && !this.before && !this.preview)
      this.hinting = setTimeout(() => this.drawing || this.busy.size || this.hint(), 60);
  }

  /** @param {Box} box device pixels @returns {ImageData} */
  maskImage(box) {
    const width = box.right - box.left,
      height = box.bottom - box.top,
      wide = width + 2;
    const image = new ImageData(width, height);
    if (!this.maskShown || this.before || this.preview) return image;
    // what each device pixel and a rim around them show: 1 mask, 2 the last fill's hole, 3 sketch
    const kinds = new Uint8Array(wide * (height + 2)),
      { mask, sketch } = this.document.layers;
    this.sample(mask, box, kinds, 1);
    if (this.ghost) this.sampleGhost(box, kinds);
    if (sketch.tiles.size) this.sample(sketch, box, kinds, 3);
    const pixels = new Uint32Array(image.data.buffer);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const at = (y + 1) * wide + x + 1,
          kind = kinds[at];
        const rim =
          kinds[at - 1] !== kind || kinds[at + 1] !== kind || kinds[at - wide] !== kind || kinds[at + wide] !== kind;
        if (kind === 3) pixels[y * width + x] = STROKE;
        else if (rim) pixels[y * width + x] = kind ? LIGHT : DARK;
        else if (kind === 1) pixels[y * width + x] = VEIL;
      }
    return image;
  }

  /** @param {import("./document.js").Layer} layer @param {Box} box @param {Uint8Array} kinds @param {number} kind */
  sample(layer, box, kinds, kind) {
    if (!layer.tiles.size) return;
    const wide = box.right - box.left + 2,
      high = box.bottom - box.top + 2,
      small = this.zoom <= 0.25;
    const columns = new Int32Array(wide);
    for (let x = 0; x < wide; x++) columns[x] = Math.floor(this.left + (box.left + x - 0.5) / this.zoom);
    for (let y = 0; y < high; y++) {
      const row = Math.floor(this.top + (box.top + y - 0.5) / this.zoom);
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

  /** @param {Box} box @param {Uint8Array} kinds */
  sampleGhost(box, kinds) {
    const { box: at, bytes } = this.ghost,
      width = at.right - at.left;
    const wide = box.right - box.left + 2,
      high = box.bottom - box.top + 2;
    for (let y = 0; y < high; y++) {
      const row = Math.floor(this.top + (box.top + y - 0.5) / this.zoom) - at.top;
      if (row < 0 || row >= at.bottom - at.top) continue;
      for (let x = 0; x < wide; x++) {
        const column = Math.floor(this.left + (box.left + x - 0.5) / this.zoom) - at.left;
        if (column >= 0 && column < width && bytes[row * width + column]) kinds[y * wide + x] ||= 2;
      }
    }
  }

  /** How far the hole will grow, and how soft its edge will be: a pale rim under the veil, paler where it blends. */
  hint() {
    if (!this.document?.layers.mask.tiles.size) return;
    const { film, overlay } = this,
      rim = new OffscreenCanvas(overlay.width, overlay.height);
    const context = rim.getContext("2d");
    for (const pixels of [this.ring, this.ring - this.soft]) {
      const reach = pixels * this.zoom;
      if (reach < 1) continue;
      context.globalCompositeOperation = "source-over";
      context.clearRect(0, 0, rim.width, rim.height);
      for (let turn = 0; turn < 24; turn++) {
        const angle = (turn * Math.PI) / 12;
        context.drawImage(this.veil, Math.cos(angle) * reach, Math.sin(angle) * reach);
      }
      context.globalCompositeOperation = "source-in";
      context.fillStyle = RING;
      context.fillRect(0, 0, rim.width, rim.height);
      film.globalCompositeOperation = "destination-over";
      film.drawImage(rim, 0, 0);
    }
    film.globalCompositeOperation = "source-over";
  }

  /** A slow light inside the holes being filled, and only there. */
  shimmer() {
    if (this.quiet.matches || this.before) return;
    const { film, overlay } = this,
      share = (performance.now() % 2400) / 2400;
    film.globalCompositeOperation = "source-atop";
    for (const { box } of this.busy) {
      const at = this.onScreen(box),
        width = at.right - at.left;
      const middle = at.left + (share * 2 - 0.5) * width;
      const light = film.createLinearGradient(middle - width / 2, 0, middle + width / 2, 0);
      light.addColorStop(0, "rgba(255, 255, 255, 0)");
      light.addColorStop(0.5, "rgba(255, 255, 255, 0.55)");
      light.addColorStop(1, "rgba(255, 255, 255, 0)");
      film.fillStyle = light;
      film.fillRect(at.left, at.top, width, Math.min(at.bottom, overlay.height) - at.top);
    }
    film.globalCompositeOperation = "source-over";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.film.clearRect(0, 0, overlay.width, overlay.height);
      this.film.drawImage(this.veil, 0, 0);
      if (this.busy.size) this.shimmer();
      else this.draw();
    }, 50);
  }
}
