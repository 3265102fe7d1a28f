// Pointer, wheel and touch on the picture: pan, zoom and pinch here, all else goes to the tool.

import { element, releases, set, update, work } from "./work.js";
import { TOOLS } from "./tools/index.js";
import { fill } from "./fill.js";

const surface = element("overlay"),
  ring = element("cursor"),
  ink = element("ink");
const fingers = new Map();
let stroke = null; // the tool at work
let owner = null; // the pointer that leads it, or pans: a palm beside a pen, or a mouse, does not meddle
let panning = null; // last place
let pinch = null;
let over = null; // last place of the pointer, stage pixels
export const keyboard = { on: false, x: 0, y: 0, down: false, space: false };

export const tool = () => TOOLS.find((each) => each.name === work.settings.tool) ?? TOOLS[0];

/** @param {PointerEvent | MouseEvent} event */
function place(event) {
  const rect = surface.getBoundingClientRect();
  return { x: event.clientX - rect.left, y: event.clientY - rect.top };
}

/** @param {any} event */
function point(event) {
  const { x, y } = place(event),
    pen = event.pointerType === "pen";
  return { ...work.view.toPicture(x, y), alt: event.altKey, shift: event.shiftKey, pen, pressure: event.pressure };
}

/** Take back an unfinished stroke. */
export function abandon() {
  if (!stroke) return false;
  stroke.cancel?.();
  work.document.cancel();
  end();
  return true;
}

function end() {
  stroke = null;
  work.view.drawing = false;
  work.view.draw();
  outline();
  update();
}

/** @param {any} at */
function begin(at) {
  const chosen = tool();
  if (!chosen.down || work.view.preview) return;
  work.view.film.pointed = null;
  work.view.wake();
  element("chip").hidden = true;
  stroke = chosen;
  work.view.drawing = true;
  stroke.down(work, at);
  outline();
}

function finish() {
  if (!stroke) return;
  const paints = !["pen", "eraser"].includes(stroke.name),
    changed = stroke.up(work);
  if (changed && paints && releases()) fill(null, true); // on its way before anything is drawn
  end();
}

surface.addEventListener("pointerdown", (event) => {
  if (!work.document) return;
  if (keyboard.down) press(); // what the keys began ends where it is
  if ((stroke || panning) && !fingers.has(owner)) return;
  surface.focus({ preventScroll: true });
  surface.setPointerCapture(event.pointerId);
  keyboard.on = false;
  const at = place(event);
  if (event.pointerType === "touch") {
    fingers.set(event.pointerId, at);
    if (fingers.size === 2) {
      abandon(); // what one finger began, two take back
      panning = null;
      pinch = { ...spread(), size: work.settings.size, zoom: work.view.zoom };
      return;
    }
    if (fingers.size > 2) return;
  } else if (stroke || panning) return;
  owner = event.pointerId;
  if (event.button === 1 || keyboard.space || tool().name === "hand") panning = at;
  else if (event.button === 0) begin(point(event));
  event.preventDefault();
});

function spread() {
  const [one, two] = [...fingers.values()];
  return { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2, gap: Math.hypot(one.x - two.x, one.y - two.y) };
}

surface.addEventListener("pointermove", (event) => {
  if (!work.document) return;
  over = place(event);
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, over);
  if (pinch && fingers.size === 2) {
    const now = spread(),
      { view } = work;
    view.pan(now.x - pinch.x, now.y - pinch.y);
    view.zoomTo((view.zoom / view.ratio) * (now.gap / Math.max(1, pinch.gap)), now.x, now.y);
    pinch = { ...now, size: pinch.size, zoom: pinch.zoom };
  } else if (event.pointerId !== owner) {
    // hovers beside the one at work
  } else if (panning) {
    work.view.pan(over.x - panning.x, over.y - panning.y);
    panning = over;
  } else if (stroke) {
    const events = event.getCoalescedEvents?.() ?? [];
    stroke.move(work, (events.length ? events : [event]).map(point));
    outline();
  }
  cursor();
});

for (const name of ["pointerup", "pointercancel"])
  surface.addEventListener(name, (event) => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2 && pinch) {
      // the brush stays as wide on the glass as it was
      set({ size: Math.min(1000, Math.max(1, Math.round((pinch.size * pinch.zoom) / work.view.zoom))) });
      pinch = null;
    }
    if (event.pointerId !== owner) return;
    owner = null;
    panning = null;
    if (name === "pointercancel") abandon();
    else finish();
    cursor();
  });
surface.addEventListener("pointerleave", () => {
  over = null;
  cursor();
});
surface.addEventListener("contextmenu", (event) => event.preventDefault());
surface.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    if (!work.document) return;
    const { x, y } = place(event),
      { view } = work;
    const lines = event.deltaMode === 1 ? 16 : 1,
      dx = event.deltaX * lines,
      dy = event.deltaY * lines;
    // two fingers that part on a touchpad come as a wheel with Ctrl, in small steps
    if (event.ctrlKey || event.metaKey)
      view.zoomTo((view.zoom / view.ratio) * 2 ** (-dy * (Math.abs(dy) < 50 ? 0.01 : 0.0025)), x, y);
    else if (event.shiftKey) view.pan(-(dx + dy), 0);
    else view.pan(-dx, -dy);
    cursor();
  },
  { passive: false },
);

/** The circle at the pointer, in picture pixels. */
export function cursor() {
  const { view, document } = work,
    chosen = tool();
  const at = keyboard.on ? view.toStage(keyboard.x, keyboard.y) : over;
  const round = document && at && chosen.round && !keyboard.space && !panning;
  ring.hidden = !(round || (keyboard.on && document));
  ring.classList.toggle("keyboard", keyboard.on);
  const hand = keyboard.space || chosen.name === "hand";
  surface.style.cursor = panning ? "grabbing" : hand ? "grab" : round ? "none" : (chosen.cursor ?? "default");
  if (ring.hidden) return;
  const size = Math.max(6, ((round ? work.settings[chosen.round] : 1) * view.zoom) / view.ratio);
  ring.style.width = ring.style.height = `${size}px`;
  ring.style.transform = `translate(${at.x - size / 2}px, ${at.y - size / 2}px)`;
}

/** Show how large the brush is, in the middle of the stage, while its size is chosen. @param {boolean} on */
export function showSize(on) {
  over = on ? { x: work.view.stage.clientWidth / 2, y: work.view.stage.clientHeight / 2 } : null;
  cursor();
}

/** What lasso and box enclose so far. */
export function outline() {
  const points = stroke?.outline?.() ?? [];
  const text = points.map(({ x, y }, index) => {
    const at = work.view.toStage(x, y);
    return `${index ? "L" : "M"}${at.x.toFixed(1)} ${at.y.toFixed(1)}`;
  });
  for (const path of ink.querySelectorAll("path")) path.setAttribute("d", text.length ? `${text.join("")}Z` : "");
}

// The pointer that the arrow keys move --------------------------------------------------------------------------------

export function toggleKeyboard() {
  if (!work.document) return;
  const { view } = work,
    middle = view.toPicture(view.stage.clientWidth / 2, view.stage.clientHeight / 2);
  keyboard.on = !keyboard.on;
  if (keyboard.down) press();
  keyboard.x = Math.min(work.document.width - 1, Math.max(0, Math.round(middle.x)));
  keyboard.y = Math.min(work.document.height - 1, Math.max(0, Math.round(middle.y)));
  cursor();
}

const typed = () => ({ x: keyboard.x + 0.5, y: keyboard.y + 0.5, alt: false, shift: false, pen: false, pressure: 0.5 });

/** @param {number} dx @param {number} dy pixels */
export function step(dx, dy) {
  keyboard.x = Math.min(work.document.width - 1, Math.max(0, keyboard.x + dx));
  keyboard.y = Math.min(work.document.height - 1, Math.max(0, keyboard.y + dy));
  work.view.reveal(keyboard.x, keyboard.y);
  if (keyboard.down && stroke) stroke.move(work, [typed()]);
  outline();
  cursor();
}

/** Put the tool down, or lift it. */
export function press() {
  if (keyboard.down) finish();
  else begin(typed());
  keyboard.down = Boolean(stroke);
}
