// Small pictures from large ones and back, value for value as Pillow makes them: what a network is shown here is what it
// is shown on the command line. No DOM here: the same file runs in Node's tests.

/** @type {Record<string, {reach: number, weight: (x: number) => number}>} weights by the distance to a pixel's centre */
const KERNELS = {
  box: { reach: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bicubic: { reach: 2, weight: (x) => cubic(Math.abs(x)) }, // Keys 1981, a = -1/2
};
const BITS = 22; // of the fraction in which Pillow counts the weights of 8-bit pictures

/** @param {number} x */
const cubic = (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0);

/**
 * What each pixel of the new axis is made of: its first old pixel, and the weights from there on.
 * @param {number} from @param {number} to pixels of the old and of the new axis @param {string} kernel
 */
function taps(from, to, kernel) {
  const { reach, weight } = KERNELS[kernel],
    step = from / to,
    wide = Math.max(1, step); // only where it shrinks does a kernel grow
  return Array.from({ length: to }, (_, at) => {
    const middle = (at + 0.5) * step,
      first = Math.max(0, Math.trunc(middle - reach * wide + 0.5)),
      last = Math.min(from, Math.trunc(middle + reach * wide + 0.5)),
      weights = Array.from({ length: last - first }, (_, more) => weight((first + more - middle + 0.5) / wide)),
      sum = weights.reduce((one, two) => one + two, 0);
    return { first, weights: weights.map((each) => (sum ? each / sum : each)) };
  });
}

/**
 * One axis after the other, the horizontal one first.
 * @template {Float32Array | Uint8Array} Values
 * @param {Values} values (height, width, channels) @param {number} channels
 * @param {{width: number, height: number}} from @param {{width: number, height: number}} to
 * @param {string} kernel @param {(count: number) => Values} empty
 * @param {{start: number, weight: (x: number) => number, end: (sum: number) => number}} arithmetic
 * @returns {Values}
 */
function resized(values, channels, from, to, kernel, empty, { start, weight, end }) {
  // strides of lines and of pixels, in the old values and in the new
  const pass = (old, taken, lines, lineOld, lineNew, stepOld, stepNew) => {
    const made = empty(lines * taken.length * channels);
    for (const [at, { first, weights }] of taken.entries()) {
      const whole = weights.map(weight);
      for (let line = 0; line < lines; line++)
        for (let channel = 0; channel < channels; channel++) {
          let sum = start,
            place = line * lineOld + first * stepOld + channel;
          for (let more = 0; more < whole.length; more++, place += stepOld) sum += old[place] * whole[more];
          made[line * lineNew + at * stepNew + channel] = end(sum);
        }
    }
    return made;
  };
  let made = values;
  if (to.width !== from.width)
    made = pass(made, taps(from.width, to.width, kernel), from.height, from.width * channels, to.width * channels, channels, channels);
  if (to.height !== from.height) {
    const row = to.width * channels;
    made = pass(made, taps(from.height, to.height, kernel), to.width, channels, channels, row, row);
  }
  return made;
}

/**
 * Averages of a plane.
 * @param {Float32Array} plane @param {{width: number, height: number}} from @param {{width: number, height: number}} to
 */
export const averaged = (plane, from, to) =>
  resized(plane, 1, from, to, "box", (count) => new Float32Array(count), {
    start: 0,
    weight: (x) => x,
    end: (sum) => sum,
  });

/**
 * An RGB picture of 8 bits at another size, smoothly.
 * @param {Uint8Array} rgb @param {{width: number, height: number}} from @param {{width: number, height: number}} to
 */
export const smooth = (rgb, from, to) =>
  resized(rgb, 3, from, to, "bicubic", (count) => new Uint8Array(count), {
    start: 2 ** (BITS - 1),
    weight: (x) => Math.trunc(x * 2 ** BITS + (x < 0 ? -0.5 : 0.5)),
    end: (sum) => Math.max(0, Math.min(255, sum >> BITS)),
  });
