/** Maps as pictures: which tiles a view needs, their colours, and where their cells lie. */

import { seen, toScreen } from "./frame.js";
import { placer } from "./scale.js";

/**
 * @typedef {import("./frame.js").Frame} Frame
 * @typedef {import("./scene.js").MapInfo} MapInfo
 * @typedef {import("./tiles.js").Request} Request
 * @typedef {{level: number, column: number, row: number}} Place
 */

/** @param {MapInfo} map @param {number} level @returns {[number, number]} rows and columns there */
export function shapeAt(map, level) {
  const half = (/** @type {number} */ size) => Math.ceil(size / 2 ** level);
  return [half(map.shape[0]), half(map.shape[1])];
}

/** @param {MapInfo} map @param {string} folder @param {Place} place @returns {Request} */
export function request(map, folder, { level, column, row }) {
  const [rows, columns] = shapeAt(map, level);
  return {
    url: `${folder}/${level}/${column}_${row}.f32`,
    columns: Math.min(map.tile, columns - column * map.tile),
    rows: Math.min(map.tile, rows - row * map.tile),
  };
}

/**
 * @param {MapInfo} map
 * @param {Frame} frame
 * @returns {number} the level whose cells are about a device pixel, or the finest
 */
export function levelFor(map, frame) {
  const level = Math.round(-Math.log2(map.step_px * frame.scale * frame.ratio));
  return Math.min(Math.max(level, 0), map.levels - 1);
}

/**
 * @param {MapInfo} map
 * @param {Frame} frame
 * @param {number} level
 * @param {{left: number, right: number}} clip
 * @returns {Place[]} tiles in view, the middle first
 */
export function placesIn(map, frame, level, clip) {
  const { left, top, right, bottom } = seen(frame, clip);
  const side = map.step_px * 2 ** level * map.tile;
  const [rows, columns] = shapeAt(map, level).map((size) => Math.ceil(size / map.tile));
  const [x, y] = map.origin_xy.map((at) => at - map.step_px / 2);
  const range = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ most) =>
    Array.from(
      { length: Math.max(0, Math.min(most, Math.floor(to) + 1) - Math.max(0, Math.floor(from))) },
      (_, i) => Math.max(0, Math.floor(from)) + i,
    );
  const across = range((left - x) / side, (right - x) / side, columns);
  const down = range((top - y) / side, (bottom - y) / side, rows);
  const [middleX, middleY] = [(left + right) / 2, (top + bottom) / 2];
  const away = (/** @type {Place} */ { column, row }) =>
    Math.hypot(x + (column + 0.5) * side - middleX, y + (row + 0.5) * side - middleY);
  return down.flatMap((row) => across.map((column) => ({ level, column, row }))).sort((p, q) => away(p) - away(q));
}

/**
 * Draw one plane of a map; coarser tiles stand in for those that are still to come.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {Frame} frame
 * @param {{left: number, right: number}} clip CSS pixels
 * @param {MapInfo} map
 * @param {string} folder of the plane
 * @param {import("./tiles.js").Tiles} tiles
 * @param {{scale: import("./scale.js").Scale, table: Uint32Array}|null} colors null while limits are not known
 * @returns {Request[]} the tiles that this view is made of, the most wanted first
 */
export function drawMap(context, frame, clip, map, folder, tiles, colors) {
  const level = levelFor(map, frame);
  const places = placesIn(map, frame, level, clip);
  const coarsest = placesIn(map, frame, map.levels - 1, clip);
  if (colors) {
    /** @type {Map<string, Place>} */
    const drawn = new Map();
    for (const place of places) {
      const found = standIn(map, folder, place, tiles);
      if (found) drawn.set(request(map, folder, found).url, found);
    }
    context.save();
    const [left, top, right, bottom] = extent(frame, map);
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    for (const place of [...drawn.values()].sort((p, q) => q.level - p.level)) {
      drawTile(context, frame, map, place, picture(tiles, request(map, folder, place).url, colors));
    }
    context.restore();
  }
  return (level === map.levels - 1 ? places : [...coarsest, ...places]).map((place) => request(map, folder, place));
}

/**
 * @param {MapInfo} map
 * @param {string} folder
 * @param {Place} place
 * @param {import("./tiles.js").Tiles} tiles
 * @returns {Place|null} the finest kept tile over this place
 */
export function standIn(map, folder, place, tiles) {
  for (let level = place.level; level < map.levels; level++) {
    const up = { level, column: place.column >> (level - place.level), row: place.row >> (level - place.level) };
    if (tiles.get(request(map, folder, up).url)) return up;
  }
  return null;
}

/**
 * @param {Frame} frame
 * @param {MapInfo} map
 * @returns {number[]} left, top, right and bottom of the cells, in whole device pixels
 */
function extent(frame, map) {
  const [rows, columns] = map.shape;
  return [...corner(frame, map, 0, 0), ...corner(frame, map, columns, rows)];
}

/**
 * @param {Frame} frame
 * @param {MapInfo} map
 * @param {number} column
 * @param {number} row
 * @returns {[number, number]} where the upper left corner of a level-0 cell lies, in whole device pixels
 */
function corner(frame, map, column, row) {
  const [x, y] = toScreen(
    frame,
    map.origin_xy[0] + (column - 0.5) * map.step_px,
    map.origin_xy[1] + (row - 0.5) * map.step_px,
  );
  return [Math.round(x * frame.ratio), Math.round(y * frame.ratio)];
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame} frame
 * @param {MapInfo} map
 * @param {Place} place
 * @param {HTMLCanvasElement} image
 */
function drawTile(context, frame, map, { level, column, row }, image) {
  const cells = 2 ** level;
  const [left, top] = corner(frame, map, column * map.tile * cells, row * map.tile * cells);
  const [right, bottom] = corner(
    frame,
    map,
    (column * map.tile + image.width) * cells,
    (row * map.tile + image.height) * cells,
  );
  context.clearRect(left, top, right - left, bottom - top);
  context.imageSmoothingEnabled = false;
  context.drawImage(image, left, top, right - left, bottom - top);
}

/**
 * @param {import("./tiles.js").Tiles} tiles
 * @param {string} url
 * @param {{scale: import("./scale.js").Scale, table: Uint32Array}} colors
 * @returns {HTMLCanvasElement} the tile in these colours, made once
 */
function picture(tiles, url, { scale, table }) {
  const tile = /** @type {import("./tiles.js").Tile} */ (tiles.get(url));
  const sign = `${scale.name} ${scale.low} ${scale.high} ${scale.log}`;
  if (tile.picture && tile.sign === sign) return tile.picture;
  const canvas = tile.picture ?? document.createElement("canvas");
  [canvas.width, canvas.height] = [tile.columns, tile.rows];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(tile.columns, tile.rows);
  const pixels = new Uint32Array(image.data.buffer);
  const place = placer(scale);
  tile.data.forEach((value, i) => {
    const at = place(value);
    if (at >= 0) pixels[i] = table[at];
  });
  context.putImageData(image, 0, 0);
  tile.picture = canvas;
  tile.sign = sign;
  return canvas;
}
