// Ways that keep to edges, for the lasso: the cheapest path over a reduced picture's gradient (Mortensen and Barrett
// 1995, "Intelligent scissors"). No DOM here: the same file runs in Node's tests.

/** @typedef {{x: number, y: number}} Point */

const ROOM = 12; // cells around two points within which their way is looked for
const REACH = 6; // cells within which a point is moved to an edge
const LEAST = 0.02; // cost of a cell of the strongest edge; 1 is that of a cell without any
const STEPS = [
  [-1, 0, 1],
  [1, 0, 1],
  [0, -1, 1],
  [0, 1, 1],
  [-1, -1, Math.SQRT2],
  [1, -1, Math.SQRT2],
  [-1, 1, Math.SQRT2],
  [1, 1, Math.SQRT2],
];

export class Edges {
  /** @param {Uint8ClampedArray} rgba @param {number} width @param {number} height @param {number} scale of the picture that this is a reduced copy of */
  constructor(rgba, width, height, scale) {
    this.width = width;
    this.height = height;
    this.scale = scale;
    this.slopes = slopesOf(rgba, width, height);
  }

  /** @param {Point} at of the picture @returns {Point} its cell */
  cell({ x, y }) {
    const inside = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * this.scale)));
    return { x: inside(x, this.width), y: inside(y, this.height) };
  }

  /** @param {Point} cell @returns {Point} its middle in the picture */
  middle({ x, y }) {
    return { x: (x + 0.5) / this.scale, y: (y + 0.5) / this.scale };
  }

  /** @param {Point} cell @returns {Point} the cell nearby with the strongest edge, near ones preferred */
  snapped({ x, y }) {
    let best = { x, y },
      most = 0;
    for (let dy = -REACH; dy <= REACH; dy++)
      for (let dx = -REACH; dx <= REACH; dx++) {
        const distance = Math.hypot(dx, dy),
          column = x + dx,
          row = y + dy;
        if (distance > REACH || column < 0 || row < 0 || column >= this.width || row >= this.height) continue;
        const worth = this.slopes[row * this.width + column] * (1 - distance / (REACH * 2));
        if (worth > most) {
          most = worth;
          best = { x: column, y: row };
        }
      }
    return best;
  }

  /**
   * The cheapest way between two cells.
   * @param {Point} from @param {Point} to @returns {Point[]} cells, from the first to the last
   */
  way(from, to) {
    const left = Math.max(0, Math.min(from.x, to.x) - ROOM),
      top = Math.max(0, Math.min(from.y, to.y) - ROOM),
      across = Math.min(this.width, Math.max(from.x, to.x) + ROOM + 1) - left,
      down = Math.min(this.height, Math.max(from.y, to.y) + ROOM + 1) - top,
      costs = new Float64Array(across * down).fill(Infinity),
      before = new Int32Array(across * down).fill(-1),
      start = (from.y - top) * across + from.x - left,
      end = (to.y - top) * across + to.x - left,
      heap = new Heap(costs);
    let strongest = 1e-6; // of this part: faint edges count where there are no others
    for (let y = 0; y < down; y++)
      for (let x = 0; x < across; x++)
        strongest = Math.max(strongest, this.slopes[(y + top) * this.width + x + left]);
    costs[start] = 0;
    heap.push(start);
    for (let at = heap.pop(); at !== -1 && at !== end; at = heap.pop()) {
      const x = at % across,
        y = Math.floor(at / across);
      for (const [dx, dy, length] of STEPS) {
        const column = x + dx,
          row = y + dy;
        if (column < 0 || row < 0 || column >= across || row >= down) continue;
        const next = row * across + column,
          slope = this.slopes[(row + top) * this.width + column + left] / strongest,
          cost = costs[at] + length * (LEAST + (1 - slope) ** 2);
        if (cost >= costs[next]) continue;
        costs[next] = cost;
        before[next] = at;
        heap.push(next);
      }
    }
    const cells = [];
    for (let at = end; at !== -1; at = before[at]) cells.push({ x: (at % across) + left, y: Math.floor(at / across) + top });
    return cells.reverse();
  }
}

/** Steepness of the brightest channel's change, by Sobel's masks. @param {Uint8ClampedArray} rgba @param {number} width @param {number} height */
function slopesOf(rgba, width, height) {
  const slopes = new Float32Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const up = Math.max(0, y - 1) * width,
        here = y * width,
        low = Math.min(height - 1, y + 1) * width,
        left = Math.max(0, x - 1),
        right = Math.min(width - 1, x + 1);
      let most = 0;
      for (let channel = 0; channel < 3; channel++) {
        const value = (row, column) => rgba[(row + column) * 4 + channel],
          dx =
            value(up, right) - value(up, left) + 2 * (value(here, right) - value(here, left)) + value(low, right) - value(low, left),
          dy =
            value(low, left) - value(up, left) + 2 * (value(low, x) - value(up, x)) + value(low, right) - value(up, right);
        most = Math.max(most, dx * dx + dy * dy);
      }
      slopes[here + x] = Math.sqrt(most);
    }
  return slopes;
}

/** Cells by cost, the cheapest first. */
class Heap {
  /** @param {Float64Array} costs */
  constructor(costs) {
    this.costs = costs;
    /** @type {{cost: number, cell: number}[]} */
    this.list = [];
  }

  /** @param {number} cell */
  push(cell) {
    const { list } = this,
      entry = { cost: this.costs[cell], cell };
    let at = list.push(entry) - 1;
    while (at && list[(at - 1) >> 1].cost > entry.cost) {
      list[at] = list[(at - 1) >> 1];
      at = (at - 1) >> 1;
    }
    list[at] = entry;
  }

  /** @returns {number} -1 where none is left */
  pop() {
    const { list } = this;
    while (list.length) {
      const first = list[0],
        last = list.pop();
      if (list.length) {
        let at = 0;
        for (let child = 1; child < list.length; child = 2 * at + 1) {
          if (child + 1 < list.length && list[child + 1].cost < list[child].cost) child++;
          if (list[child].cost >= last.cost) break;
          list[at] = list[child];
          at = child;
        }
        list[at] = last;
      }
      if (first.cost === this.costs[first.cell]) return first.cell; // else a cheaper way was found since
    }
    return -1;
  }
}
