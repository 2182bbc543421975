/** From a value in units to a colour: limits, linear or logarithmic, and 256 colours. */

export const LOG_SPAN = 1000;

/**
 * @typedef {{low: number, high: number, log: boolean, name: string}} Scale
 *   `name` is that of the colour map; values outside the limits take the colours of the ends
 */

/**
 * The colours of a colour map, as ImageData takes them.
 * @param {string} hex 256 × rrggbb
 * @returns {Uint32Array}
 */
export function colorsOf(hex) {
  const bytes = new Uint8Array(256 * 4);
  for (let i = 0; i < 256; i++) {
    const rgb = Number.parseInt(hex.slice(6 * i, 6 * i + 6), 16);
    bytes.set([rgb >> 16, (rgb >> 8) & 255, rgb & 255, 255], 4 * i);
  }
  return new Uint32Array(bytes.buffer);
}

/**
 * A scale whose limits can be drawn: the high one above the low one, and a logarithmic one above zero.
 * @param {number} low @param {number} high @param {boolean} log @param {string} name
 * @returns {Scale}
 */
export function scaleOf(low, high, log, name) {
  if (!(high > low)) high = low + Math.max(Math.abs(low) * 1e-6, 1e-6);
  if (!log) return { low, high, log, name };
  const top = high > 0 ? high : 1;
  return { low: Math.max(low, top / LOG_SPAN), high: top, log, name };
}

/**
 * What turns a value into the index of its colour, 0 to 255; −1 where there is no value.
 * @param {Scale} scale
 * @returns {(value: number) => number}
 */
export function placer({ low, high, log }) {
  const from = log ? Math.log(low) : low;
  const times = 256 / ((log ? Math.log(high) : high) - from);
  return (value) => {
    if (Number.isNaN(value)) return -1;
    const at = ((log ? Math.log(Math.max(value, low)) : value) - from) * times;
    return at <= 0 ? 0 : at >= 255 ? 255 : at | 0;
  };
}

/** @param {Scale} scale @param {number} share 0 to 1 @returns {number} the value at that share of the colours */
export function valueAt({ low, high, log }, share) {
  return log ? low * (high / low) ** share : low + (high - low) * share;
}

/**
 * A number as people read it: three or four figures, and a true minus.
 * @param {number|null|undefined} value
 */
export function readable(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size >= 1e6 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
  return text.replaceAll("-", "−");
}
