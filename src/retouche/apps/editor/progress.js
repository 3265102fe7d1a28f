// How far the fills under way are: on the button that cancels, and in the line at the bottom.

import { t } from "./strings.js";
import { element, work } from "./work.js";

/**
 * One fill: its crops, and its models where several are tried, count as one whole.
 * @typedef {{started: number, began: number | null, place: number, loading: number | null, total: number, done: number,
 *   now: number}} Progress
 *   `started` and `began` (its first crop left the queue) are times in ms; `place` in the queue, 0 = running;
 *   `loading`: share of its model's file that is here, 1 = being started, null = done; `total`, `done` and `now` (of the crop under way) are pixels
 */

let ticking = 0;

/** @param {number} seconds */
const roughly = (seconds) =>
  seconds >= 90
    ? t("minutes", { count: Math.round(seconds / 60) })
    : t("seconds", { count: seconds >= 20 ? Math.round(seconds / 5) * 5 : Math.max(1, Math.ceil(seconds)) });

/** @param {number} seconds */
export const elapsed = (seconds) => t("seconds", { count: seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds) });

/** @param {Set<Progress>} jobs the oldest first */
function tick(jobs) {
  const [first] = jobs;
  if (!first) return;
  const now = performance.now(),
    share = Math.min(1, (first.done + first.now) / first.total),
    percent = Math.min(99, Math.floor(share * 100)),
    time = elapsed((now - first.started) / 1000);
  const waiting = first.place > 0,
    loading = first.loading !== null,
    known = share > 0 && !loading; // a network's only pass, or a model being loaded, tells nothing until it has ended
  let figures = time,
    text = t("filling", { time });
  if (waiting) {
    figures = t("waiting.short", { time });
    text = first.place > 1 ? t("waiting.behind", { count: first.place - 1, time }) : t("waiting", { time });
  } else if (loading) {
    const here = Math.floor(first.loading * 100);
    figures = first.loading < 1 ? t("loading.short", { percent: here }) : time;
    text = first.loading < 1 ? t("loading", { percent: here, time }) : t("starting", { time });
  } else if (known) {
    figures = `${percent} % · ${time}`;
    const ran = (now - (first.began ?? first.started)) / 1000,
      left = (ran * (1 - share)) / share;
    const guessed = ran > 2 && share > 0.2; // before, a guess is off by several times
    text = guessed ? t("filling.left", { percent, left: roughly(left) }) : t("filling.share", { percent, time });
  }
  if (jobs.size > 1) text += ` ${t("and.more", { count: jobs.size - 1 })}`;
  put(element("figures"), ` ${figures}`);
  put(element("progress"), text);
  const coming = loading && first.loading < 1,
    value = coming ? String(Math.floor(first.loading * 100)) : known ? String(percent) : null;
  if (element("progress").getAttribute("aria-valuenow") !== value) {
    if (value) element("progress").setAttribute("aria-valuenow", value);
    else element("progress").removeAttribute("aria-valuenow");
  }
  const words = waiting ? t("value.waiting") : loading ? t("value.loading") : known ? t("value.percent", { percent }) : t("value.filling");
  if (element("progress").getAttribute("aria-valuetext") !== words)
    element("progress").setAttribute("aria-valuetext", words);
  element("status").classList.toggle("unknown", waiting || !(known || coming));
  element("line").style.setProperty("--share", String(coming ? first.loading : share));
}

/** @param {any} place @param {string} text */
function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

const TICK = 200; // milliseconds
const BADGE_AFTER = 1000; // milliseconds of a fill; sooner it would only be in the way
/** @type {Map<any, HTMLButtonElement>} the button at each hole that cancels its fill alone */
const badges = new Map();

/** @param {Set<any>} jobs @param {(job: any) => void} cancel */
function tickBadges(jobs, cancel) {
  for (const [job, badge] of badges)
    if (!jobs.has(job)) {
      badge.remove();
      badges.delete(job);
    }
  const now = performance.now();
  let grown = false; // only then do they lie elsewhere than they were put
  for (const job of jobs) {
    if (now - job.started < BADGE_AFTER) continue;
    let badge = badges.get(job);
    if (!badge) {
      badge = document.createElement("button");
      badge.type = "button";
      badge.className = "badge";
      badge.addEventListener("click", () => cancel(job));
      element("badges").append(badge);
      badges.set(job, badge);
    }
    const share = Math.min(1, (job.done + job.now) / job.total),
      text = share > 0 ? `${Math.min(99, Math.floor(share * 100))} %` : elapsed((now - job.started) / 1000);
    grown ||= `${text} ×`.length !== badge.textContent.length;
    put(badge, `${text} ×`);
    const label = t("cancel.one");
    if (badge.title !== label) badge.title = label;
    badge.setAttribute("aria-label", `${label}, ${text}`);
  }
  if (grown) placeBadges();
}

/** Each at the upper right of its hole, inside the stage. */
export function placeBadges() {
  const { view } = work;
  for (const [{ hole }, badge] of badges) {
    const at = view.toStage(hole.box.right, hole.box.top),
      x = Math.max(4, Math.min(view.stage.clientWidth - badge.offsetWidth - 4, at.x + 4)),
      y = Math.max(4, Math.min(view.stage.clientHeight - badge.offsetHeight - 4, at.y - badge.offsetHeight - 4));
    badge.style.transform = `translate(${x}px, ${y}px)`;
  }
}

/** Show, or show no more, how far the fills are. @param {Set<any>} jobs @param {(job: any) => void} cancel one */
export function showProgress(jobs, cancel) {
  clearInterval(ticking);
  const over = !jobs.size;
  element("cancel").hidden = element("progress").hidden = element("line").hidden = over;
  const all = () => {
    tick(jobs);
    tickBadges(jobs, cancel);
  };
  all();
  if (!over) ticking = setInterval(all, TICK);
}
