// Starts the page.

import { setUpAll } from "./all.js";
import * as api from "./api.js";
import { setUpExtend } from "./extend.js";
import { setUpFace, setUpLanguage } from "./face.js";
import { setUpKeys } from "./keys.js";
import { setUpFind } from "./find.js";
import { setUpKeeping } from "./kept.js";
import { begin } from "./begin.js";
import { setUpDoors } from "./doors.js";
import { showModels } from "./models.js";
import { setUpPanel } from "./panel.js";
import { setUpToken } from "./token.js";
import { View } from "./view.js";
import { element, sayError, set, work } from "./work.js";

setUpLanguage();
work.view = new View(element("stage"));
setUpFace();
setUpPanel();
setUpKeys();
setUpDoors();
setUpToken();
setUpKeeping();
setUpAll();
setUpFind();
setUpExtend();
/** @type {unknown} */
let away = null;
try {
  work.config = await api.json("/api/v1/server-config");
  work.models = work.config.models;
  const { model, served } = work.settings,
    stays = served === work.config.model && work.models.some(({ name }) => name === model);
  set({ model: stays ? model : work.config.model, served: work.config.model });
  showModels();
  set({});
} catch (error) {
  away = error;
}
await begin().catch((error) => (away ??= error));
if (away) sayError(away);
navigator.serviceWorker?.register("sw.js").catch(() => {}); // where it may not, the page is not installed, no more
document.documentElement.dataset.ready = "true";
