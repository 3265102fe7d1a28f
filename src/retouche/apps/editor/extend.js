// Room at the sides of the picture, filled by the server as `retouche run --extend` does: what comes back is opened as a
// picture of its own, fills so far included.

import * as api from "./api.js";
import { SIDES, room, setUpEdges } from "./edges.js";
import { filling } from "./fill.js";
import { openPicture } from "./open.js";
import { fileOf } from "./save.js";
import { t } from "./strings.js";
import { device, element, say, sayError, update, work } from "./work.js";

let extending = false;

/** @returns {string[]} as the server reads it, of sides that get room: "left=20" */
const asked = () => SIDES.filter(room).map((side) => `${side}=${room(side)}`);

async function extend() {
  const { document, settings } = work,
    sides = asked();
  if (!document || extending) return;
  extending = true;
  update();
  const job = api.jobName(),
    leave = api.follow(job, ({ fraction }) =>
      say(t("extend.at", { percent: Math.floor((fraction ?? 0) * 100) })));
  try {
    const { fills } = document,
      file = await fileOf(document),
      body = new FormData(),
      { name, listed } = document.source;
    say(t("extend.at", { percent: 0 }));
    body.append("image", file, "picture");
    const fields = { job, model: settings.model, seed: settings.seed ?? 0, feather: settings.feather, device: device() };
    for (const [field, value] of Object.entries(fields)) if (value !== null) body.append(field, String(value));
    body.append("extend", sides.join(","));
    const blob = await (await api.ask("/api/v1/inpaint", { method: "POST", body })).blob();
    if (document !== work.document || document.fills !== fills) return; // it went on without this
    document.saved = document.visible; // they live on in what is opened
    if (!(await openPicture(blob, name, { listed }))) return;
    work.document.made = true;
    for (const side of SIDES) element(side).value = "";
    say(t("extend.done", { width: work.document.width, height: work.document.height }));
  } catch (error) {
    sayError(error);
  } finally {
    leave();
    extending = false;
    update();
  }
}

export function setUpExtend() {
  const show = () =>
    (element("extend").disabled = element("extendhere").disabled =
      !work.document || extending || filling() || !asked().length);
  for (const side of SIDES) element(side).addEventListener("input", show);
  element("extend").addEventListener("click", extend);
  setUpEdges();
  work.changed.add(show);
}
