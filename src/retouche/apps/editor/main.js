// Starts the page.

import * as api from "./api.js";
import { setUpKeys } from "./keys.js";
import { loadFolder, setUpDoors } from "./open.js";
import { setUpPanel, showModels } from "./panel.js";
import { View } from "./view.js";
import { element, sayError, set, work } from "./work.js";

work.view = new View(element("stage"));
setUpPanel();
setUpKeys();
setUpDoors();
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
