// Starts the page.

import { setUpAll } from "./all.js";
import * as api from "./api.js";
import { offered } from "./browser/engine.js";
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
import { t } from "./strings.js";
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

/** What is left where the server does not answer: the models that fill in this browser. */
async function withoutServer() {
  work.models = await offered(true).catch(() => []);
  if (!work.models.length) return;
  if (!work.models.some(({ name }) => name === work.settings.model)) set({ model: work.models[0].name });
  showModels();
  set({});
  away = new Error(t("browser.away"));
}

try {
  work.config = await api.json("/api/v1/server-config");
  work.models = [...work.config.models, ...(await offered(false))];
  const { model, served } = work.settings,
    stays = served === work.config.model && work.models.some(({ name }) => name === model);
  set({ model: stays ? model : work.config.model, served: work.config.model });
  showModels();
  set({});
} catch (error) {
  away = error;
  await withoutServer();
}
await begin().catch((error) => (away ??= error));
if (away) sayError(away);
navigator.serviceWorker?.register("sw.js").catch(() => {}); // where it may not, the page is not installed, no more
document.documentElement.dataset.ready = "true";
