// The picture's borders, to be dragged outward or moved by keys where room is wanted: the same numbers as in the panel.

import { t } from "./strings.js";
import { element, work } from "./work.js";

/** @typedef {"left" | "top" | "right" | "bottom"} Side */

export const MOST = 20_000; // pixels of room at a side
/** Which key moves a border outward, and which one back. @type {Record<Side, [string, string]>} */
const KEYS = {
  left: ["ArrowLeft", "ArrowRight"],
  top: ["ArrowUp", "ArrowDown"],
  right: ["ArrowRight", "ArrowLeft"],
  bottom: ["ArrowDown", "ArrowUp"],
};
export const SIDES = /** @type {Side[]} */ (Object.keys(KEYS));
const FAR = 10; // times as far with Shift
const INSIDE = 14; // pixels of the stage that a border keeps to its edge, so that it can always be grasped

/** @param {Side} side @returns {number} pixels of room that are asked for */
export const room = (side) => Math.min(MOST, Math.max(0, Math.round(Number(element(side).value)) || 0));

/** @param {Side} side @param {number} pixels */
function give(side, pixels) {
  const value = Math.min(MOST, Math.max(0, Math.round(pixels)));
  element(side).value = value ? String(value) : "";
  element(side).dispatchEvent(new Event("input"));
}

/** @returns {import("./raster.js").Box} the picture with the room at its sides */
function frame() {
  const { width, height } = work.document;
  return { left: -room("left"), top: -room("top"), right: width + room("right"), bottom: height + room("bottom") };
}

/** Draw frame and borders where they are on the stage; only while the panel's part about them is open. */
export function placeEdges() {
  const { view, document: open, settings } = work,
    edges = element("edges");
  edges.hidden = !open || settings.face !== "full" || !element("extendpart").open || Boolean(view.preview);
  if (edges.hidden) return;
  const box = frame(),
    start = view.toStage(box.left, box.top),
    end = view.toStage(box.right, box.bottom),
    { clientWidth, clientHeight } = view.stage,
    within = (at, size) => Math.max(INSIDE, Math.min(size - INSIDE, at)),
    left = within(start.x, clientWidth),
    right = within(end.x, clientWidth),
    top = within(start.y, clientHeight),
    bottom = within(end.y, clientHeight),
    middle = { x: (left + right) / 2, y: (top + bottom) / 2 };
  const at = { left: [left, middle.y], right: [right, middle.y], top: [middle.x, top], bottom: [middle.x, bottom] };
  for (const side of SIDES) {
    const handle = element(`edge-${side}`),
      [x, y] = at[side];
    handle.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
    handle.setAttribute("aria-valuenow", String(room(side)));
    handle.setAttribute("aria-valuetext", t("pixels", { count: room(side) }));
    handle.setAttribute("aria-label", `${t("extend")}: ${t(side)}`);
  }
  const outline = edges.querySelector(".frame");
  outline.style.transform = `translate(${start.x}px, ${start.y}px)`;
  outline.style.width = `${end.x - start.x}px`;
  outline.style.height = `${end.y - start.y}px`;
  element("extendhere").hidden = !SIDES.some(room);
}

/** Bring all of the frame into sight, where it has left it. */
function reveal() {
  const { view } = work,
    box = frame(),
    start = view.toStage(box.left, box.top),
    end = view.toStage(box.right, box.bottom);
  if (start.x < 0 || start.y < 0 || end.x > view.stage.clientWidth || end.y > view.stage.clientHeight) view.fit(box);
}

/** @param {Side} side */
function setUp(side) {
  const handle = element(`edge-${side}`),
    sign = side === "left" || side === "top" ? -1 : 1,
    axis = side === "left" || side === "right" ? "x" : "y",
    picture = (event) => work.view.toPicture(event.clientX, event.clientY)[axis];
  /** @type {{at: number, room: number} | null} where it was taken */
  let held = null;
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    event.preventDefault();
    handle.focus();
    held = { at: picture(event), room: room(side) };
  });
  handle.addEventListener("pointermove", (event) => {
    if (held && handle.hasPointerCapture(event.pointerId)) give(side, held.room + sign * (picture(event) - held.at));
  });
  for (const name of ["pointerup", "pointercancel"])
    handle.addEventListener(name, () => {
      held = null;
      reveal();
    });
  handle.addEventListener("keydown", (event) => {
    const by = { [KEYS[side][0]]: 1, [KEYS[side][1]]: -1 }[event.key];
    if (by) give(side, room(side) + by * (event.shiftKey ? FAR : 1));
    else if (event.key === "Home") give(side, 0);
    else if (event.key === "Enter") element("extend").click();
    else if (event.key === "Escape") for (const each of SIDES) give(each, 0);
    else return;
    event.preventDefault();
    event.stopPropagation();
    reveal();
  });
}

export function setUpEdges() {
  for (const side of SIDES) {
    setUp(side);
    element(side).addEventListener("input", placeEdges);
    element(side).addEventListener("change", () => work.document && reveal());
  }
  element("extendpart").addEventListener("toggle", placeEdges);
  element("extendhere").addEventListener("click", () => element("extend").click());
  work.changed.add(placeEdges);
}
