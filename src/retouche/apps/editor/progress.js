// How far the fills under way are: on the button that cancels, and in the line at the bottom.

import { element } from "./work.js";

/**
 * One fill: its crops, and its models where several are tried, count as one whole.
 * @typedef {{started: number, began: number | null, place: number, total: number, done: number, now: number}} Progress
 *   `started` and `began` (its first crop left the queue) are times in ms; `place` in the server's queue, 0 = running;
 *   `total`, `done` and `now` (of the crop under way) are pixels
 */

let ticking = 0;

/** @param {number} seconds */
const roughly = (seconds) =>
  seconds >= 90
    ? `${Math.round(seconds / 60)} min`
    : `${seconds >= 20 ? Math.round(seconds / 5) * 5 : Math.max(1, Math.ceil(seconds))} s`;

/** @param {number} seconds */
const elapsed = (seconds) => `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;

/** @param {Set<Progress>} jobs the oldest first */
function tick(jobs) {
  const [first] = jobs;
  if (!first) return;
  const now = performance.now(),
    share = Math.min(1, (first.done + first.now) / first.total),
    percent = Math.min(99, Math.floor(share * 100)),
    time = elapsed((now - first.started) / 1000);
  const waiting = first.place > 0,
    known = share > 0; // a network's only pass, or a model being loaded, tells nothing until it has ended
  let figures = time,
    text = `Filling, ${time}`;
  if (waiting) {
    figures = `waiting · ${time}`;
    text = first.place > 1 ? `Waiting, ${first.place - 1} more before it, ${time}` : `Waiting, ${time}`;
  } else if (known) {
    figures = `${percent} % · ${time}`;
    const ran = (now - (first.began ?? first.started)) / 1000,
      left = (ran * (1 - share)) / share;
    const guessed = ran > 2 && share > 0.2; // before, a guess is off by several times
    text = guessed ? `Filling ${percent} %, about ${roughly(left)} left` : `Filling ${percent} %, ${time}`;
  }
  if (jobs.size > 1) text += ` (and ${jobs.size - 1} more)`;
  put(element("figures"), ` ${figures}`);
  put(element("progress"), text);
  const value = known ? String(percent) : null;
  if (element("progress").getAttribute("aria-valuenow") !== value) {
    if (known) element("progress").setAttribute("aria-valuenow", value);
    else element("progress").removeAttribute("aria-valuenow");
  }
  const words = waiting ? "waiting for other fills" : known ? `${percent} percent` : "filling";
  if (element("progress").getAttribute("aria-valuetext") !== words)
    element("progress").setAttribute("aria-valuetext", words);
  element("status").classList.toggle("unknown", waiting || !known);
  element("line").style.width = waiting || !known ? "" : `${share * 100}%`;
}

/** @param {any} place @param {string} text */
function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Show, or show no more, how far the fills are. @param {Set<Progress>} jobs */
export function showProgress(jobs) {
  clearInterval(ticking);
  const over = !jobs.size;
  element("cancel").hidden = element("progress").hidden = element("line").hidden = over;
  tick(jobs);
  if (!over) ticking = setInterval(() => tick(jobs), 100);
}
