// Starts the page.

import * as api from "./api.js";
import { setUpFace, setUpLanguage } from "./face.js";
import { setUpKeys } from "./keys.js";
import { loadFolder, setUpDoors } from "./open.js";
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
try {
  work.config = await api.json("/api/v1/server-config");
  work.models = work.config.models;
  set({ model: work.config.model });
  showModels();
  set({});
  await loadFolder();
} catch (error) {
  sayError(error);
}
document.documentElement.dataset.ready = "true";
