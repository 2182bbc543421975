/** Legends: the colours of each layer on show with its limits and units, and the gene's grade in words. */

import { make } from "./dom.js";
import { captionOf, layersOf, unitsOf } from "./layers.js";
import { GRADES } from "./scene.js";
import { readable, valueAt } from "./scale.js";

const SHARES = [0, 0.5, 1];

/**
 * Write the legends of a pane.
 * @param {import("./pane.js").Pane} pane
 * @param {{side: import("./layers.js").Side}[]} parts
 * @param {{scene: import("./scene.js").Scene, state: import("./layers.js").State, scales: import("./scales.js").Scales}} app
 */
export function writeLegends(pane, parts, app) {
  pane.legends.replaceChildren(
    ...parts.map(({ side }) => {
      const layers = layersOf(app.scene, app.state, side);
      const missing = layers.length ? [] : absent(app, side);
      return make("div", { class: "side" }, ...missing, ...layers.map((layer) => legendOf(layer, app)));
    }),
  );
}

/** @param {any} app @param {import("./layers.js").Side} side */
function absent({ scene, state }, side) {
  const wanted = (side.map !== null && !state.hideMap) || (side.spots !== null && !state.hideSpots);
  if (!wanted || state.gene === null) return [];
  const where =
    side.map !== null ? `map ${scene.maps[side.map].name}` : `spots of ${scene.samples[side.spots ?? 0].name}`;
  return [make("div", { class: "legend", text: `${state.gene} is not among the genes of ${where}` })];
}

/** @param {import("./layers.js").Layer} layer @param {any} app */
function legendOf(layer, { scene, scales }) {
  const grade =
    layer.kind === "map" && layer.plane !== "n" ? scene.grades[layer.index].get(layer.gene ?? "") : undefined;
  const low = grade === "C" || grade === "D";
  const scale = scales.get(layer.key);
  return make(
    "div",
    { class: low ? "legend low" : "legend" },
    make(
      "div",
      { class: "title" },
      make("b", { text: layer.plane === "n" ? "novelty" : layer.gene }),
      ` ${captionOf(scene, layer)}`,
    ),
    low || grade === "untested" ? make("div", { class: "grade", text: GRADES.get(grade) }) : null,
    scale ? ramp(scales.table(scale)) : null,
    scale
      ? make(
          "div",
          { class: "ticks" },
          ...SHARES.map((share) => make("span", { text: readable(valueAt(scale, share)) })),
        )
      : null,
    make("div", {
      class: "units",
      text: scale ? `${unitsOf(scene, layer)}${scale.log ? ", log scale" : ""}` : "loading …",
    }),
  );
}

/** @param {Uint32Array} table @returns {HTMLCanvasElement} */
function ramp(table) {
  const canvas = make("canvas", { width: "256", height: "1", class: "ramp", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const image = context.createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(table);
  context.putImageData(image, 0, 0);
  return canvas;
}
