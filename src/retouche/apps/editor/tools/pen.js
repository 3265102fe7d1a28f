// Draws the lines that a guided model follows; with Alt it takes them away.

import { painter } from "./brush.js";

export default {
  name: "pen",
  key: "P",
  round: "penSize",
  guide: /** @type {"sketch"} */ ("sketch"),
  ...painter("sketch", false),
};
