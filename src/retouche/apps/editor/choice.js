// Several models on one hole: their results lie as thumbnails over it; one is kept, or none.

import { label as named } from "./browser/engine.js";
import { run, secondsOf, settled, take, thumbnail, working } from "./fill.js";
import { t } from "./strings.js";
import { element, say, sayError, set, update, work } from "./work.js";

/** @type {{fills: any[], chosen: number, job: any, options: any} | null} */
let choice = null;

export const choosing = () => choice !== null;

/**
 * Fill the same hole several times, to choose from.
 * @param {{model: string, seed?: number, label?: string}[]} variants @param {any} [given] other options than the settings
 */
export async function several(variants, given = null) {
  drop();
  if (!work.document || !variants.length) return false;
  const options = settled(given ?? work.settings);
  return working(options, variants.length, false, async (job) => {
    const fills = [];
    for (const [index, { model: name, seed = options.seed, label = named(name) }] of variants.entries()) {
      say(t("several.at", { model: label, at: index + 1, count: variants.length }));
      try {
        fills.push({ ...(await run(job, name, { ...options, seed })), seed, label });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        sayError(`${label}: ${error.message}`);
      }
      job.done = ((index + 1) * job.total) / variants.length;
      job.now = 0;
    }
    if (job.document !== work.document || job.abort.signal.aborted) return;
    if (!fills.length) return void job.document.giveBack(job.hole);
    drop();
    offer({ fills, chosen: 0, job, options });
  });
}

/** @param {any} found */
function offer(found) {
  choice = found;
  const list = element("results"),
    { view } = work,
    { box } = choice.job.hole;
  list.replaceChildren(
    ...choice.fills.map((result, index) => {
      const item = document.createElement("div"),
        picture = document.createElement("canvas");
      const text = document.createElement("span");
      Object.assign(picture, { width: 192, height: 144 });
      picture.getContext("2d").drawImage(thumbnail(result.patches[0], box), 0, 0);
      text.textContent = `${result.label}  ${t("seconds", { count: secondsOf(result).toFixed(1) })}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-label", text.textContent);
      item.tabIndex = -1;
      item.append(picture, text);
      item.addEventListener("click", () => choose(index));
      item.addEventListener("dblclick", () => keep());
      return item;
    }),
  );
  list.hidden = false;
  const at = view.toStage((box.left + box.right) / 2, box.bottom),
    { stage } = view;
  const left = Math.max(12, Math.min(at.x - list.offsetWidth / 2, stage.clientWidth - list.offsetWidth - 12));
  const top = Math.max(12, Math.min(at.y + 12, stage.clientHeight - list.offsetHeight - 12));
  list.style.left = `${left}px`;
  list.style.top = `${top}px`;
  choose(0);
  say(t("several.choose"));
}

/** @param {number} index */
function choose(index) {
  if (!choice) return;
  const count = choice.fills.length;
  choice.chosen = (index + count) % count;
  work.view.preview = choice.fills[choice.chosen].patches;
  [...element("results").children].forEach((item, place) => {
    item.setAttribute("aria-selected", String(place === choice.chosen));
    item.tabIndex = place === choice.chosen ? 0 : -1;
    if (place === choice.chosen) item.focus();
  });
  work.view.stale();
  update();
}

/** @param {number} by */
export const turn = (by) => choice && choose(choice.chosen + by);

/** Take the chosen result. */
export async function keep() {
  if (!choice) return false;
  const { fills, chosen, job, options } = choice;
  close();
  say("");
  const { name, seed } = fills[chosen];
  if (fills.some((each) => each.name !== name)) set({ model: name });
  await take(job, fills[chosen], { ...options, seed });
  return true;
}

/** Take none: the hole goes back into the mask. */
export function drop() {
  if (!choice) return false;
  const { job } = choice;
  close();
  job.document.giveBack(job.hole);
  element("overlay").focus();
  return true;
}

function close() {
  choice = null;
  work.view.preview = null;
  element("results").hidden = true;
  work.view.stale();
  update();
}
