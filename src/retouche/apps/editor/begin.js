// What the page begins with: the work that was interrupted, a folder, or the example.

import * as api from "./api.js";
import { fileOf, forget, lastWork } from "./kept.js";
import { openPicture } from "./open.js";
import { t } from "./strings.js";
import { listFolder, walk } from "./walk.js";
import { element, releases, say, sayError, update, work } from "./work.js";

/** Go on with the work that was kept. @param {import("./kept.js").Work} kept */
async function goOn(kept) {
  const { name, path, listed } = kept;
  try {
    if (!(await openPicture(await fileOf(kept), name, { path, listed, kept }))) return;
    if (work.files) work.files.at = work.files.names.indexOf(path ?? name);
    update();
    say(t("continue.done", { name }));
  } catch (error) {
    if (error.status !== undefined) return sayError(error); // the server is away: another time
    element("continue").hidden = true;
    await forget(kept.id);
    say(t("continue.gone", { name }), true);
  }
}

/** What the page begins with: what a reload interrupted, the server's folder, or the offer to go on. */
export async function begin() {
  const last = await lastWork();
  await listFolder();
  if (last && (last.reloaded || (work.files?.names.length && last.work.unsaved))) return goOn(last.work);
  if (work.files?.names.length) return walk(1);
  if (!last) return;
  const button = element("continue");
  button.hidden = false;
  button.textContent = t("continue", { name: last.work.name.replace(/^.*\//, "") });
  element("choose").classList.remove("main");
  button.addEventListener("click", () => goOn(last.work));
}

export async function openExample() {
  try {
    const response = await api.ask("example.jpg");
    const opened = await openPicture(await response.blob(), "example.jpg");
    if (opened) say(t(releases() ? "open.example" : "open.example.full"));
  } catch (error) {
    sayError(error);
  }
}
