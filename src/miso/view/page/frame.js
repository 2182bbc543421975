/** How level-0 pixels of the slide lie on a pane: screen = image · scale + offset, in CSS pixels, y down. */

/**
 * @typedef {{scale: number, x: number, y: number, width: number, height: number, ratio: number}} Frame
 *   `scale` CSS pixels a level-0 pixel; `x`, `y` where the slide's corner lies; the pane's size;
 *   `ratio` device pixels a CSS pixel
 */

/** @param {Frame} frame @param {number} x @param {number} y @returns {[number, number]} CSS pixels of the pane */
export function toScreen(frame, x, y) {
  return [x * frame.scale + frame.x, y * frame.scale + frame.y];
}

/** @param {Frame} frame @param {number} x @param {number} y @returns {[number, number]} level-0 pixels */
export function toImage(frame, x, y) {
  return [(x - frame.x) / frame.scale, (y - frame.y) / frame.scale];
}

/**
 * The part of the slide's plane that a pane shows.
 * @param {Frame} frame
 * @param {{left: number, right: number}} [clip] CSS pixels
 */
export function seen(frame, clip = { left: 0, right: frame.width }) {
  const [left, top] = toImage(frame, clip.left, 0);
  const [right, bottom] = toImage(frame, clip.right, frame.height);
  return { left, top, right, bottom };
}

/**
 * A round length that fits a scale bar.
 * @param {number} umPerPixel micrometres a CSS pixel
 * @param {number} room CSS pixels
 * @returns {{um: number, px: number}}
 */
export function barOf(umPerPixel, room) {
  const most = umPerPixel * room;
  const decade = 10 ** Math.floor(Math.log10(most));
  const um = [5, 2, 1].map((step) => step * decade).find((length) => length <= most) ?? decade;
  return { um, px: um / umPerPixel };
}
