/** What a pane shows above the slide: the layers of its sides, clipped to them. */

import { layersOf } from "./layers.js";
import { drawMap } from "./raster.js";
import { drawSpots } from "./spots.js";

/**
 * Draw the layers of a pane, and ask for the tiles that are missing.
 * @param {import("./pane.js").Pane} pane
 * @param {{side: import("./layers.js").Side, left: number, right: number}[]} parts
 * @param {{scene: import("./scene.js").Scene, state: import("./layers.js").State, scales: import("./scales.js").Scales,
 *   tiles: import("./tiles.js").Tiles, spots: import("./spotstore.js").SpotStore}} app
 */
export function paint(pane, parts, app) {
  const frame = pane.frame();
  if (!frame) return;
  const context = pane.layers.getContext("2d");
  pane.layers.style.opacity = String(app.state.opacity);
  const needed = parts.flatMap((part) => {
    context.save();
    context.beginPath();
    const [left, right] = [part.left, part.right].map((at) => Math.round(at * frame.ratio));
    context.rect(left, 0, right - left, pane.layers.height);
    context.clip();
    const requests = layersOf(app.scene, app.state, part.side).flatMap((layer) =>
      drawLayer(context, frame, part, layer, app),
    );
    context.restore();
    return requests;
  });
  app.tiles.want(pane.name, needed);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("./frame.js").Frame} frame
 * @param {{left: number, right: number}} clip
 * @param {import("./layers.js").Layer} layer
 * @param {any} app
 * @returns {import("./tiles.js").Request[]}
 */
function drawLayer(context, frame, clip, layer, { scene, scales, tiles, spots }) {
  const scale = scales.get(layer.key);
  const colors = scale && { scale, table: scales.table(scale) };
  if (layer.kind === "map") {
    const folder = scene.folder(layer.index, layer.plane, layer.gene);
    return drawMap(context, frame, clip, scene.maps[layer.index], folder, tiles, colors);
  }
  const [places, values] = [spots.places(layer.index), spots.values(layer.index, layer.gene)];
  if (places && values && colors) drawSpots(context, frame, clip, scene.samples[layer.index], places, values, colors);
  return [];
}
