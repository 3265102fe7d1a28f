// Drawing into bytes: pure functions on boxes and byte maps, no DOM. A byte map holds 255 where something is set.

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box pixels; right and bottom exclusive */
/** @typedef {{x: number, y: number}} Point */

/** @param {Box} one @param {Box} two @returns {Box} the smallest box around both */
export function union(one, two) {
  return {
    left: Math.min(one.left, two.left),
    top: Math.min(one.top, two.top),
    right: Math.max(one.right, two.right),
    bottom: Math.max(one.bottom, two.bottom),
  };
}

/** @param {Box} one @param {Box} two @returns {Box | null} what both share */
export function intersection(one, two) {
  const box = {
    left: Math.max(one.left, two.left),
    top: Math.max(one.top, two.top),
    right: Math.min(one.right, two.right),
    bottom: Math.min(one.bottom, two.bottom),
  };
  return box.left < box.right && box.top < box.bottom ? box : null;
}

/** @param {Box} box @param {number} margin @returns {Box} */
export function grown(box, margin) {
  return {
    left: box.left - margin,
    top: box.top - margin,
    right: box.right + margin,
    bottom: box.bottom + margin,
  };
}

/** @param {Box} box */
export const area = (box) => (box.right - box.left) * (box.bottom - box.top);

/** @param {Uint8Array} map @param {number} width of its rows @returns {Box | null} the smallest around what is set */
export function bounds(map, width) {
  const box = { left: width, top: -1, right: 0, bottom: 0 };
  for (let at = 0; at < map.length; at++) {
    if (!map[at]) continue;
    const x = at % width,
      y = (at - x) / width;
    if (x < box.left) box.left = x;
    if (x >= box.right) box.right = x + 1;
    if (box.top < 0) box.top = y;
    box.bottom = y + 1;
  }
  return box.right ? box : null;
}

/**
 * The runs of a thick line with round ends, row by row: every pixel whose centre is within the radius of the segment.
 * The radius may change along it, as a pen's pressure does; the larger one is used near each end.
 * @param {Point & {radius: number}} from @param {Point & {radius: number}} to
 * @param {(y: number, left: number, right: number) => void} run called with [left, right)
 */
export function segment(from, to, run) {
  const dx = to.x - from.x,
    dy = to.y - from.y;
  const length = Math.hypot(dx, dy);
  const steps = Math.max(1, Math.ceil(length / Math.max(1, Math.min(from.radius, to.radius) / 4)));
  // the union of discs a quarter radius apart: at most 1 % of the radius short of the true edge between two of them
  const least = new Map(),
    most = new Map();
  for (let step = 0; step <= steps; step++) {
    const share = length === 0 ? 0 : step / steps;
    const x = from.x + dx * share,
      y = from.y + dy * share;
    const radius = Math.max(0.5, from.radius + (to.radius - from.radius) * share);
    for (let row = Math.ceil(y - radius - 0.5); row + 0.5 <= y + radius; row++) {
      const half = Math.sqrt(Math.max(0, radius * radius - (row + 0.5 - y) ** 2));
      const left = Math.ceil(x - half - 0.5),
        right = Math.floor(x + half - 0.5) + 1;
      if (left >= right) continue;
      least.set(row, Math.min(left, least.get(row) ?? left));
      most.set(row, Math.max(right, most.get(row) ?? right));
    }
    if (length === 0) break;
  }
  if (least.size === 0) run(Math.floor(from.y), Math.floor(from.x), Math.floor(from.x) + 1); // never less than a pixel
  for (const [row, left] of least) run(row, left, most.get(row));
}

/**
 * The runs inside a closed polygon, even-odd: every pixel whose centre is inside.
 * @param {Point[]} points @param {(y: number, left: number, right: number) => void} run
 */
export function polygon(points, run) {
  if (points.length < 3) return;
  const top = Math.floor(Math.min(...extent(points, "y"))),
    bottom = Math.ceil(Math.max(...extent(points, "y")));
  for (let row = top; row < bottom; row++) {
    const y = row + 0.5,
      crossings = [];
    for (let index = 0; index < points.length; index++) {
      const a = points[index],
        b = points[(index + 1) % points.length];
      if (a.y <= y !== b.y <= y) crossings.push(a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x));
    }
    crossings.sort((one, two) => one - two);
    for (let index = 0; index + 1 < crossings.length; index += 2) {
      const left = Math.ceil(crossings[index] - 0.5),
        right = Math.ceil(crossings[index + 1] - 0.5);
      if (left < right) run(row, left, right);
    }
  }
}

/** @param {Point[]} points @param {"x" | "y"} axis @returns {[number, number]} least and most */
function extent(points, axis) {
  let least = Infinity,
    most = -Infinity;
  for (const point of points) {
    least = Math.min(least, point[axis]);
    most = Math.max(most, point[axis]);
  }
  return [least, most];
}

/**
 * A byte map grown by a disc: set where a set pixel is at most `pixels` away.
 * @param {Uint8Array} map width * height bytes @param {number} width @param {number} height @param {number} pixels
 * @returns {Uint8Array}
 */
export function dilate(map, width, height, pixels) {
  if (pixels <= 0) return map.slice();
  // rows to the nearest set pixel of the same column, cut at pixels + 1
  const far = pixels + 1,
    rows = new Uint16Array(map.length).fill(far);
  for (let x = 0; x < width; x++) {
    for (let y = 0, gap = far; y < height; y++) {
      gap = map[y * width + x] ? 0 : Math.min(far, gap + 1);
      rows[y * width + x] = gap;
    }
    for (let y = height - 1, gap = far; y >= 0; y--) {
      gap = Math.min(rows[y * width + x], gap + 1, far);
      rows[y * width + x] = gap;
    }
  }
  const reach = Int32Array.from({ length: far }, (_, gap) => Math.floor(Math.sqrt(pixels * pixels - gap * gap)));
  const result = new Uint8Array(map.length),
    steps = new Int32Array(width + 1);
  for (let y = 0; y < height; y++) {
    steps.fill(0);
    for (let x = 0; x < width; x++) {
      const gap = rows[y * width + x];
      if (gap > pixels) continue;
      steps[Math.max(0, x - reach[gap])]++;
      steps[Math.min(width, x + reach[gap] + 1)]--;
    }
    for (let x = 0, depth = 0; x < width; x++) {
      depth += steps[x];
      if (depth > 0) result[y * width + x] = 255;
    }
  }
  return result;
}

/**
 * The pixels that hang together with a start and look like it (largest channel difference at most `tolerance`).
 * @param {number} width @param {number} height of the picture
 * @param {Point} start
 * @param {(x: number, y: number) => number} colour packed 0xRRGGBB
 * @param {number} tolerance 0..255
 * @param {(y: number, left: number, right: number) => void} run
 */
export function flood(width, height, start, colour, tolerance, run) {
  const seed = colour(start.x, start.y),
    red = seed >> 16,
    green = (seed >> 8) & 255,
    blue = seed & 255;
  const seen = new Uint8Array(width * height);
  const alike = (x, y) => {
    if (seen[y * width + x]) return false;
    const other = colour(x, y);
    return (
      Math.abs((other >> 16) - red) <= tolerance &&
      Math.abs(((other >> 8) & 255) - green) <= tolerance &&
      Math.abs((other & 255) - blue) <= tolerance
    );
  };
  const stack = [start.x, start.y];
  while (stack.length) {
    const y = stack.pop(),
      x = stack.pop();
    if (!alike(x, y)) continue;
    let left = x,
      right = x + 1;
    while (left > 0 && alike(left - 1, y)) left--;
    while (right < width && alike(right, y)) right++;
    seen.fill(1, y * width + left, y * width + right);
    run(y, left, right);
    for (const next of [y - 1, y + 1]) {
      if (next < 0 || next >= height) continue;
      for (let at = left, open = false; at < right; at++) {
        const here = alike(at, next);
        if (here && !open) stack.push(at, next);
        open = here;
      }
    }
  }
}
