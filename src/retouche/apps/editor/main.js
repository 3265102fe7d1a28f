// Starts the page.

import { setUpAll } from "./all.js";
import * as api from "./api.js";
import { setUpFace, setUpLanguage } from "./face.js";
import { setUpKeys } from "./keys.js";
import { setUpKeeping } from "./kept.js";
import { begin, setUpDoors } from "./open.js";
import { setUpPanel, showModels } from "./panel.js";
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
try {
  work.config = await api.json("/api/v1/server-config");
  work.models = work.config.models;
  const { model, served } = work.settings,
    stays = served === work.config.model && work.models.some(({ name }) => name === model);
  set({ model: stays ? model : work.config.model, served: work.config.model });
  showModels();
  set({});
  await begin();
} catch (error) {
  sayError(error);
}
document.documentElement.dataset.ready = "true";
