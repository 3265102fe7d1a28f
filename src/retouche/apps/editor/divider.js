// Before and after, side by side at a bar that is dragged.

import { element, work } from "./work.js";

/** @param {number | null} share of the stage; null = no divider */
export function divide(share) {
  const bar = element("divider"),
    { view } = work;
  view.divider = share === null ? null : Math.min(1, Math.max(0, share));
  bar.hidden = element("sides").hidden = share === null;
  element("compare").setAttribute("aria-pressed", String(share !== null));
  if (share !== null) {
    bar.style.left = `${view.divider * 100}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(view.divider * 100)));
  }
  view.draw();
}

export function setUpDivider() {
  const bar = element("divider"),
    { view } = work;
  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    event.preventDefault();
    bar.focus();
  });
  bar.addEventListener("pointermove", (event) => {
    if (!bar.hasPointerCapture(event.pointerId)) return;
    const rect = view.stage.getBoundingClientRect();
    divide((event.clientX - rect.left) / rect.width);
  });
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (by) {
      event.preventDefault();
      divide(view.divider + by);
    } else if (event.key === "Escape") divide(null);
  });
}
