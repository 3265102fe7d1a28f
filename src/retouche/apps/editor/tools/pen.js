// Draws the lines that a guided model follows; with Alt it takes them away.

import { painter } from "./brush.js";

export default {
  name: "pen",
  key: "P",
  label: "Sketch pen",
  hint: "draw the lines that the fill should follow; Alt erases",
  round: "penSize",
  guide: /** @type {"sketch"} */ ("sketch"),
  ...painter("sketch", false),
};
