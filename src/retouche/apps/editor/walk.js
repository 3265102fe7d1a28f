// Going through the pictures of a folder, with the mask where the user keeps it.

import * as api from "./api.js";
import { natural } from "./folder.js";
import { leaving, openPicture, unreadable } from "./open.js";
import { t } from "./strings.js";
import { keepsMask, say, sayError, update, work } from "./work.js";

let steps = 0, // still to go; the arrow key may come faster than pictures can be decoded
  walking = false;

export async function listFolder() {
  if (!work.config.input) return;
  const { files } = await api.json("/api/v1/files");
  const names = files.map(({ name }) => name).sort(natural);
  const address = (at) => `/api/v1/files/${names[at].split("/").map(encodeURIComponent).join("/")}`;
  work.files = { names, at: -1, served: true, open: async (at) => (await api.ask(address(at))).blob() };
}

/** Walk through a folder of this computer. @param {import("./folder.js").Listing} files */
export async function openFolder(files) {
  if (walking) {
    say(t("open.busy"));
    return false;
  }
  const before = work.files;
  if (!files.names.length) {
    say(t("open.empty"), true);
    return false;
  }
  work.files = files;
  if (await walk(1)) return true;
  work.files = before;
  update();
  return false;
}

/** Go through the folder, one picture decoded at a time; tool, settings and mask policy stay. @param {1 | -1} by */
export async function walk(by) {
  if (!work.files?.names.length) return false;
  steps += by;
  if (walking) return false; // the walk under way takes this step, too
  walking = true;
  let shown = false;
  try {
    while (steps) {
      const next = steps;
      steps = 0;
      shown = await step(work.files, next);
    }
  } finally {
    walking = false;
    steps = 0;
  }
  return shown;
}

const BETTER_LATER = [0, 401, 429]; // the server is away, wants its token, is busy: nothing is wrong with the picture

/** @type {{width: number, height: number, layer: import("./layer.js").Layer} | null} a mask for all of the folder */
let carried = null;

/** Take the mask along, where the user said that it is kept. */
function carryMask() {
  const { document } = work;
  if (!keepsMask() || !document) return void (carried = null);
  const { width, height } = document,
    layer = document.committed("mask");
  if (layer.measure().count) carried = { width, height, layer };
  else if (carried?.width === width && carried.height === height) carried = null; // it was cleared
}

function layMask() {
  const { document } = work;
  if (!carried) return;
  const { width, height, layer } = carried;
  if (width === document.width && height === document.height) document.paint(layer, "kept mask");
  else say(t("mask.waits", { width, height }));
}

/** Open the next picture that can be read. @param {import("./folder.js").Listing} files @param {number} by */
async function step(files, by) {
  if (!leaving()) return false;
  const count = files.names.length;
  let refused = "";
  carryMask();
  for (let tried = 0; tried < count; tried++) {
    const at = (((files.at + by + tried * Math.sign(by)) % count) + count) % count,
      name = files.names[at];
    try {
      const place = { path: files.served ? name : null, listed: !files.served };
      if (!(await openPicture(await files.open(at), name, place))) return false;
      files.at = at;
      layMask();
      update();
      if (refused) say(refused, true);
      return true;
    } catch (error) {
      if (BETTER_LATER.includes(error.status)) {
        sayError(error);
        return false;
      }
      refused ||= t("open.passed", { name, why: unreadable(error) ? t("open.passed.why") : error.message });
    }
  }
  say(refused, true);
  return false;
}
