/** The message that tells what could not be loaded; it stays until it is closed or something else is said. */

import { byId } from "./dom.js";

/**
 * Show one line.
 * @param {string} text
 */
export function tell(text) {
  byId("notice-text").textContent = text;
  byId("notice").hidden = false;
}

/** Close the message. */
export function hush() {
  byId("notice").hidden = true;
}

/** Let the message be closed by its button. */
export function armNotice() {
  byId("notice-close").addEventListener("click", hush);
}
