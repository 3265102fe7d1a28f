// A rectangle; with Alt it takes away what it encloses.

let from = null,
  to = null,
  value = 255;

/** @returns {{left: number, top: number, right: number, bottom: number}} whole pixels */
const box = () => ({
  left: Math.floor(Math.min(from.x, to.x)),
  top: Math.floor(Math.min(from.y, to.y)),
  right: Math.ceil(Math.max(from.x, to.x)),
  bottom: Math.ceil(Math.max(from.y, to.y)),
});

export default {
  name: "box",
  key: "M",
  cursor: "crosshair",
  down(work, point) {
    value = point.alt ? 0 : 255;
    from = to = point;
  },
  move(work, points) {
    to = points[points.length - 1];
  },
  up(work) {
    const { left, top, right, bottom } = box();
    work.document.begin();
    const { run, end } = work.document.runs("mask", value);
    for (let y = Math.max(0, top); y < Math.min(bottom, work.document.height); y++) run(y, left, right);
    end();
    from = to = null;
    return work.document.commit("box");
  },
  cancel() {
    from = to = null;
  },
  outline() {
    if (!from) return [];
    const { left, top, right, bottom } = box();
    return [
      { x: left, y: top },
      { x: right, y: top },
      { x: right, y: bottom },
      { x: left, y: bottom },
    ];
  },
};
