/** The slide as OpenSeadragon reads it: Deep Zoom levels of JPEG tiles without overlap. */

/**
 * A tile source of the contract's addresses.
 * @param {import("./scene.js").SlideInfo} slide
 */
export function tileSource(slide) {
  const { width, height, tile, levels } = slide;
  const whole = Math.ceil(Math.log2(Math.max(width, height, 2) / tile));
  return {
    width,
    height,
    tileSize: tile,
    tileOverlap: 0,
    minLevel: Math.max(0, Math.min(levels - 1, levels - 1 - whole)),
    maxLevel: levels - 1,
    /** @param {number} level @param {number} column @param {number} row */
    getTileUrl: (level, column, row) => `slide/${level}/${column}_${row}.jpg`,
  };
}
