/** Spots of a sample: where they lie (level-0 px), what they are called, and their values of a gene. */

import { seen } from "./frame.js";
import { placer } from "./scale.js";

const BUCKETS = 64;
const DOT_PX = 2.5;

/** The places of a sample's spots, found fast. */
export class Spots {
  /** @param {{x: number[], y: number[], names: string[]}} json */
  constructor({ x, y, names }) {
    this.x = Float64Array.from(x);
    this.y = Float64Array.from(y);
    this.names = names;
    const [left, right] = span(this.x);
    const [top, bottom] = span(this.y);
    this.left = left;
    this.top = top;
    this.side = Math.max(right - left, bottom - top, 1) / BUCKETS;
    /** @type {Map<number, number[]>} */
    this.buckets = new Map();
    this.x.forEach((at, i) => {
      const key = this.#key(this.#cell(at - this.left), this.#cell(this.y[i] - this.top));
      const bucket = this.buckets.get(key);
      if (bucket) bucket.push(i);
      else this.buckets.set(key, [i]);
    });
  }

  /**
   * The spot whose centre is nearest.
   * @param {number} x @param {number} y level-0 px
   * @returns {{index: number, away: number}|null} `away` in level-0 px
   */
  nearest(x, y) {
    let best = -1;
    let least = Infinity;
    const [column, row] = [this.#cell(x - this.left), this.#cell(y - this.top)];
    for (let ring = 0; ring <= BUCKETS + 1; ring++) {
      if (best >= 0 && least <= ((ring - 1) * this.side) ** 2) break;
      for (const i of this.#ring(column, row, ring)) {
        const away = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
        if (away < least) [best, least] = [i, away];
      }
    }
    return best < 0 ? null : { index: best, away: Math.sqrt(least) };
  }

  /** @param {number} offset @returns {number} a bucket's row or column; what lies outside counts to the border */
  #cell(offset) {
    return Math.min(BUCKETS, Math.max(0, Math.floor(offset / this.side)));
  }

  /** @param {number} column @param {number} row */
  #key(column, row) {
    return row * (BUCKETS + 1) + column;
  }

  /** @param {number} column @param {number} row @param {number} ring */
  *#ring(column, row, ring) {
    for (let down = -ring; down <= ring; down++) {
      const step = Math.abs(down) === ring ? 1 : 2 * ring;
      for (let across = -ring; across <= ring; across += Math.max(step, 1)) {
        const [c, r] = [column + across, row + down];
        if (c >= 0 && r >= 0 && c <= BUCKETS && r <= BUCKETS) yield* this.buckets.get(this.#key(c, r)) ?? [];
      }
    }
  }
}

/** @param {Float64Array} at @returns {[number, number]} the least and the greatest */
function span(at) {
  let [low, high] = [Infinity, -Infinity];
  for (const one of at) [low, high] = [Math.min(low, one), Math.max(high, one)];
  return [low, high];
}

/**
 * Draw the spots of a sample at their true size; those of a pixel or two become dots.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {import("./frame.js").Frame} frame
 * @param {{left: number, right: number}} clip CSS pixels
 * @param {import("./scene.js").SampleInfo} sample
 * @param {Spots} spots
 * @param {Float32Array} values
 * @param {{scale: import("./scale.js").Scale, table: Uint32Array}} colors
 */
export function drawSpots(context, frame, clip, sample, spots, values, { scale, table }) {
  const place = placer(scale);
  const half = sample.spot_px / 2;
  const { left, top, right, bottom } = seen(frame, clip);
  const [times, dx, dy] = [frame.scale * frame.ratio, frame.x * frame.ratio, frame.y * frame.ratio];
  const paint = half * 2 * times < DOT_PX ? dots(context, half * times) : shapes(context, half * times, sample.square);
  for (let i = 0; i < values.length; i++) {
    const [x, y] = [spots.x[i], spots.y[i]];
    if (x < left - half || x > right + half || y < top - half || y > bottom + half) continue;
    const at = place(values[i]);
    if (at >= 0) paint.one(x * times + dx, y * times + dy, table[at]);
  }
  paint.done();
}

/** @param {CanvasRenderingContext2D} context @param {number} radius @param {boolean} square */
function shapes(context, radius, square) {
  const hex = (/** @type {number} */ part) => (part & 255).toString(16).padStart(2, "0");
  context.lineWidth = Math.min(1.5, radius / 6);
  context.strokeStyle = "rgb(40 40 40 / 60%)";
  return {
    one(/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ color) {
      context.fillStyle = `#${hex(color)}${hex(color >> 8)}${hex(color >> 16)}`;
      context.beginPath();
      if (square) context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      else context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
      if (radius > 5) context.stroke();
    },
    done() {},
  };
}

/** @param {CanvasRenderingContext2D} context @param {number} radius */
function dots(context, radius) {
  const { width, height } = context.canvas;
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [width, height];
  const drawing = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
  const image = drawing.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const size = Math.max(1, Math.round(2 * radius));
  return {
    one(/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ color) {
      const [left, top] = [Math.round(x - size / 2), Math.round(y - size / 2)];
      for (let row = Math.max(0, top); row < Math.min(height, top + size); row++) {
        for (let column = Math.max(0, left); column < Math.min(width, left + size); column++)
          pixels[row * width + column] = color;
      }
    },
    done() {
      drawing.putImageData(image, 0, 0);
      context.drawImage(picture, 0, 0);
    },
  };
}
