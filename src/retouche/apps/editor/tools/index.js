// The tools, in the order of the toolbar; each turns pointer positions into commands of the document.

import box from "./box.js";
import brush from "./brush.js";
import eraser from "./eraser.js";
import hand from "./hand.js";
import lasso from "./lasso.js";
import pen from "./pen.js";
import wand from "./wand.js";

/**
 * What a tool is called, and how it is used, say the strings "tool.NAME" and "tool.NAME.hint".
 * @typedef {object} Tool
 * @property {string} name
 * @property {string} key
 * @property {string} [cursor] of the pointer, as CSS says it
 * @property {string} [round] the setting that is its diameter
 * @property {"sketch"} [guide] what the model must listen to
 * @property {Function} [down] (work, point): a gesture begins
 * @property {Function} [move] (work, points)
 * @property {Function} [up] (work) => whether anything changed
 * @property {Function} [cancel]
 * @property {Function} [outline] () => points to show
 */

/** @type {Tool[]} */
export const TOOLS = [brush, eraser, lasso, box, wand, pen, hand];
