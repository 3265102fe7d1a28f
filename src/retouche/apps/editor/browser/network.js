// A hole filled by an exported network, window by window, as `retouche.runtime` does it. What runs the network is given.
// No DOM here: the same file runs in Node's tests.

import { averaged, smooth } from "./resample.js";
import { boxes, mirrored, spotOf } from "./windows.js";

/** @typedef {import("./windows.js").Spot} Spot @typedef {import("./windows.js").Window} Window */
/** @typedef {{type: "uint8" | "float32", data: Uint8Array | Float32Array, dims: number[]}} Tensor */
/**
 * `form` is "pipeline" (8-bit pictures) or "network" (the network's own tensors); `run` is fed by name and gives the
 * first output's values.
 * @typedef {{form: string, inputs: string[], window: Window,
 *   run: (feeds: Record<string, Tensor>) => Promise<ArrayLike<number>>}} Network
 */
/** @typedef {{width: number, height: number}} Size */

/**
 * Fill a picture's holes in place; other pixels, and what is transparent, stay as they are.
 * @param {Network} network
 * @param {{rgba: Uint8ClampedArray, hole: Uint8Array, sketch: Uint8Array | null} & Size} picture hole and sketch have a
 *   byte a pixel
 * @param {(share: number) => void} [heard] told the share that is done
 * @returns {Promise<Spot[]>} the windows
 */
export async function fill(network, { rgba, hole, sketch, width, height }, heard = () => {}) {
  const left = hole.slice(), // what is unknown still
    spots = boxes(hole, width, height).map((box) => spotOf(box, width, height, network.window));
  for (const [at, spot] of spots.entries()) {
    await fillSpot(network, rgba, left, sketch, width, spot);
    heard((at + 1) / spots.length);
  }
  return spots;
}

/**
 * @param {Network} network @param {Uint8ClampedArray} rgba @param {Uint8Array} left @param {Uint8Array | null} sketch
 * @param {number} width of the picture @param {Spot} spot
 */
async function fillSpot(network, rgba, left, sketch, width, { box, crop, rows, columns, scale }) {
  const { window } = network,
    size = { width: columns.length, height: rows.length },
    count = size.width * size.height;
  let seen = new Uint8Array(count * 3),
    unknown = new Uint8Array(count),
    strokes = network.inputs.includes("sketch") ? new Uint8Array(count) : null;
  for (let y = 0, at = 0; y < size.height; y++)
    for (let x = 0; x < size.width; x++, at++) {
      const from = rows[y] * width + columns[x];
      unknown[at] = left[from] ? 1 : 0;
      if (strokes && sketch?.[from]) strokes[at] = 1;
      for (let colour = 0; colour < 3; colour++) seen[at * 3 + colour] = rgba[from * 4 + colour];
    }
  if (window.centre) levelOthers(seen, unknown, size, crop, box);
  const { only } = window,
    small = (side) => only || Math.max(1, even(side * scale)),
    target = { width: small(size.width), height: small(size.height) },
    other = target.width !== size.width || target.height !== size.height;
  if (other) {
    ({ seen, unknown } = shrunk(seen, unknown, size, target));
    if (strokes) strokes = Uint8Array.from(averaged(Float32Array.from(strokes), size, target), (share) => Number(share > 0));
  }
  let made = await predicted(network, seen, unknown, strokes, target);
  if (other) made = smooth(made, target, size);
  for (let y = box.top; y < box.bottom; y++)
    for (let x = box.left; x < box.right; x++) {
      const to = y * width + x,
        from = ((y - crop.top) * size.width + x - crop.left) * 3;
      if (!left[to]) continue;
      left[to] = 0;
      for (let colour = 0; colour < 3; colour++) rgba[to * 4 + colour] = made[from + colour];
    }
}

/** To the nearest whole number, halves to the even one, as Python and NumPy round. @param {number} x */
function even(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

/**
 * A network that fills the middle alone is shown other holes as the mean of what is known.
 * @param {Uint8Array} seen @param {Uint8Array} unknown both changed @param {Size} size
 * @param {import("../raster.js").Box} crop @param {import("../raster.js").Box} box
 */
function levelOthers(seen, unknown, size, crop, box) {
  const sums = [0, 0, 0];
  let known = 0;
  for (let at = 0; at < unknown.length; at++)
    if (!unknown[at]) {
      known++;
      for (let colour = 0; colour < 3; colour++) sums[colour] += seen[at * 3 + colour];
    }
  const mean = sums.map((sum) => (known ? Math.trunc(sum / known) : 127));
  for (let y = 0, at = 0; y < size.height; y++)
    for (let x = 0; x < size.width; x++, at++) {
      const column = x + crop.left,
        row = y + crop.top;
      if (!unknown[at] || (column >= box.left && column < box.right && row >= box.top && row < box.bottom)) continue;
      unknown[at] = 0;
      seen.set(mean, at * 3);
    }
}

/**
 * Averages of known pixels; a small pixel that touches the hole is hole, unless that leaves none.
 * @param {Uint8Array} seen @param {Uint8Array} unknown @param {Size} from @param {Size} to
 */
function shrunk(seen, unknown, from, to) {
  const known = Float32Array.from(unknown, (value) => 1 - value),
    share = averaged(known, from, to);
  let hole = Uint8Array.from(share, (value) => Number(value < 1 - 1e-4));
  if (hole.every(Boolean)) hole = Uint8Array.from(share, (value) => Number(value < 1e-6));
  const small = new Uint8Array(share.length * 3);
  for (let colour = 0; colour < 3; colour++) {
    const plane = averaged(Float32Array.from(known, (value, at) => seen[at * 3 + colour] * value), from, to);
    for (const [at, value] of plane.entries())
      if (!hole[at]) {
        const mean = Math.fround(value / Math.fround(Math.max(share[at], 1e-6)));
        small[at * 3 + colour] = Math.max(0, Math.min(255, even(mean)));
      }
  }
  return { seen: small, unknown: hole };
}

/**
 * A window of any size and its hole -> what the network makes of it, hole or not; hidden colours are not shown to it.
 * @param {Network} network @param {Uint8Array} seen @param {Uint8Array} unknown 1 = hole
 * @param {Uint8Array | null} strokes 1 = stroke @param {Size} size @returns {Promise<Uint8Array>} RGB
 */
async function predicted(network, seen, unknown, strokes, size) {
  const { width, height } = size;
  for (const [at, value] of unknown.entries()) if (value) seen.fill(0, at * 3, at * 3 + 3);
  /** @param {Uint8Array} plane @returns {Tensor} */
  const levels = (plane) => ({ type: "uint8", data: plane.map((value) => value * 255), dims: [1, height, width] });
  if (network.form === "pipeline") {
    const made = await network.run({
      picture: { type: "uint8", data: seen, dims: [1, height, width, 3] },
      mask: levels(unknown),
      ...(strokes && { sketch: levels(strokes) }),
    });
    return Uint8Array.from(made);
  }
  const rows = mirrored(0, fitting(height, network.window), height),
    columns = mirrored(0, fitting(width, network.window), width),
    count = rows.length * columns.length;
  /** @param {Uint8Array} values @param {number} channels @param {(x: number) => number} as @returns {Tensor} */
  const tensor = (values, channels, as) => {
    const data = new Float32Array(channels * count);
    for (let channel = 0, at = 0; channel < channels; channel++)
      for (const row of rows) for (const column of columns) data[at++] = as(values[(row * width + column) * channels + channel]);
    return { type: "float32", data, dims: [1, channels, rows.length, columns.length] };
  };
  const same = (x) => x,
    made = await network.run({
      image: tensor(seen, 3, (level) => Math.fround(level / 127.5) - 1),
      mask: tensor(unknown, 1, same),
      ...(strokes && { sketch: tensor(strokes, 1, same) }),
    }),
    rgb = new Uint8Array(width * height * 3);
  for (let colour = 0; colour < 3; colour++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const value = made[colour * count + y * columns.length + x];
        rgb[(y * width + x) * 3 + colour] = Math.max(0, Math.min(255, even(Math.fround(Math.fround(value + 1) * 127.5))));
      }
  return rgb;
}

/** @param {number} side @param {Window} window @returns {number} the least side that the network takes */
function fitting(side, { only, smallest, multiple }) {
  return only ? side : Math.ceil(Math.max(side, smallest) / multiple) * multiple;
}
