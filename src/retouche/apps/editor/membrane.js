// The smoothest continuation of a picture into a hole, at once: what is shown until the real fill is there. Each pixel
// of the hole is the mean of its neighbours, as of the server's `harmonic`. No DOM here: the same file runs in Node.

const SWEEPS = 12; // relaxations of each grid, from the coarsest to the finest
const OVER = 1.5; // of a relaxation's step: more than one, as usual

/** @typedef {{width: number, height: number, values: Float32Array, known: Uint8Array, holes: Int32Array}} Grid */

/** @param {number} width @param {number} height @param {Float32Array} values @param {Uint8Array} known @returns {Grid} */
function gridOf(width, height, values, known) {
  const holes = new Int32Array(known.length);
  let count = 0;
  for (let at = 0; at < known.length; at++) if (!known[at]) holes[count++] = at;
  return { width, height, values, known, holes: holes.subarray(0, count) };
}

/** Means of the known pixels two by two; a cell without any is hole. @param {Grid} grid @returns {Grid} */
function coarser({ width, height, values, known }) {
  const across = (width + 1) >> 1,
    down = (height + 1) >> 1,
    means = new Float32Array(across * down * 3),
    seen = new Uint8Array(across * down);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const from = y * width + x,
        to = (y >> 1) * across + (x >> 1);
      if (!known[from]) continue;
      seen[to]++;
      for (let channel = 0; channel < 3; channel++) means[to * 3 + channel] += values[from * 3 + channel];
    }
  for (let at = 0; at < seen.length; at++)
    for (let channel = 0; channel < 3 && seen[at]; channel++) means[at * 3 + channel] /= seen[at];
  return gridOf(across, down, means, seen);
}

/** Begin with what the coarser grid has, between its cells. @param {Grid} grid @param {Grid} coarse */
function refine({ width, values, holes }, { width: across, height: down, values: means }) {
  for (const at of holes) {
    const x = ((at % width) - 0.5) / 2,
      y = (Math.floor(at / width) - 0.5) / 2,
      column = Math.floor(x),
      row = Math.floor(y),
      dx = x - column,
      dy = y - row,
      left = Math.max(0, column),
      right = Math.min(across - 1, column + 1),
      top = Math.max(0, row) * across,
      bottom = Math.min(down - 1, row + 1) * across,
      one = (top + left) * 3,
      two = (top + right) * 3,
      three = (bottom + left) * 3,
      four = (bottom + right) * 3;
    for (let channel = 0; channel < 3; channel++) {
      const above = means[one + channel] * (1 - dx) + means[two + channel] * dx,
        below = means[three + channel] * (1 - dx) + means[four + channel] * dx;
      values[at * 3 + channel] = above * (1 - dy) + below * dy;
    }
  }
}

/** Bring each pixel of the hole towards its neighbours' mean; the grid's border is a mirror. @param {Grid} grid */
function relax({ width, height, values, holes }) {
  const last = width * (height - 1),
    places = new Int32Array(holes.length * 5); // of each pixel and its neighbours in `values`
  for (let number = 0; number < holes.length; number++) {
    const at = holes[number],
      x = at % width,
      left = x ? at - 1 : at + Number(width > 1),
      right = x < width - 1 ? at + 1 : left,
      above = at >= width ? at - width : height > 1 ? at + width : at,
      below = at < last ? at + width : above;
    let place = number * 5;
    for (const each of [at, left, right, above, below]) places[place++] = each * 3;
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    for (let place = 0; place < places.length; place += 5) {
      const at = places[place],
        left = places[place + 1],
        right = places[place + 2],
        above = places[place + 3],
        below = places[place + 4];
      for (let channel = 0; channel < 3; channel++) {
        const sum =
          values[left + channel] + values[right + channel] + values[above + channel] + values[below + channel];
        values[at + channel] += OVER * (sum / 4 - values[at + channel]);
      }
    }
}

/** @param {Grid} grid with a known pixel */
function solve(grid) {
  if (!grid.holes.length) return;
  const coarse = coarser(grid);
  solve(coarse);
  refine(grid, coarse);
  relax(grid);
}

/**
 * Fill a hole smoothly, in place.
 * @param {Uint8ClampedArray} rgba height * width * 4; what is clear is unknown, too @param {number} width
 * @param {number} height @param {Uint8Array} inside the hole; the picture must have a known pixel
 */
export function membrane(rgba, width, height, inside) {
  const values = new Float32Array(width * height * 3),
    known = new Uint8Array(width * height);
  for (let at = 0; at < known.length; at++) {
    if (inside[at] || !rgba[at * 4 + 3]) continue;
    known[at] = 1;
    for (let channel = 0; channel < 3; channel++) values[at * 3 + channel] = rgba[at * 4 + channel];
  }
  if (!known.some(Boolean)) return;
  const grid = gridOf(width, height, values, known);
  solve(grid);
  for (const at of grid.holes)
    if (inside[at]) {
      for (let channel = 0; channel < 3; channel++) rgba[at * 4 + channel] = values[at * 3 + channel];
      rgba[at * 4 + 3] = 255;
    }
}
