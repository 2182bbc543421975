/** What each side of the view draws over the slide, and which colour scale each layer goes by. */

/**
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {{map: number|null, plane: string, spots: number|null}} Side
 * @typedef {{gene: string|null, a: Side, b: Side, mode: string, opacity: number, log: boolean, colors: string,
 *   limits: Object<string, [number, number]>, shared: boolean, hideMap: boolean, hideSpots: boolean,
 *   divider: number}} State
 *   `limits` are those typed in, by scale; `shared` colours spots as the map where their units are equal
 * @typedef {{kind: "map"|"spots", index: number, plane: string, gene: string|null, key: string}} Layer
 */

export const PLANES = new Map([
  ["v", "expression"],
  ["s", "spread"],
  ["n", "novelty"],
]);

/**
 * What a scene opens with.
 * @param {Scene} scene
 * @returns {State}
 */
export function firstState(scene) {
  const map = scene.maps.length ? (scene.start.map ?? 0) : null;
  const spots = scene.samples.length
    ? Math.max(
        0,
        scene.samples.findIndex(({ kind }) => kind === "measured"),
      )
    : null;
  const other = scene.maps.length > 1 ? (map === 0 ? 1 : 0) : map;
  const spread = scene.maps.length === 1 && scene.maps[0].has_std;
  const b = spots !== null ? { map: null, plane: "v", spots } : { map: other, plane: spread ? "s" : "v", spots: null };
  return {
    gene: scene.start.gene ?? scene.genes[0] ?? null,
    a: { map, plane: "v", spots: map === null ? spots : null },
    b,
    mode: "one",
    opacity: 0.7,
    log: false,
    colors: "viridis",
    limits: {},
    shared: false,
    hideMap: false,
    hideSpots: false,
    divider: 0.5,
  };
}

/** @param {State} state @returns {Side[]} the sides that are shown */
export function sidesOf(state) {
  return state.mode === "one" ? [state.a] : [state.a, state.b];
}

/**
 * The layers of a side, the lowest first; those that the scene cannot give are left out.
 * @param {Scene} scene @param {State} state @param {Side} side
 * @returns {Layer[]}
 */
export function layersOf(scene, state, side) {
  /** @type {Layer[]} */
  const layers = [];
  if (side.map !== null && !state.hideMap && scene.folder(side.map, side.plane, state.gene)) {
    layers.push(mapLayer(scene, side.map, side.plane, state.gene));
  }
  if (side.spots !== null && !state.hideSpots && scene.inSample[side.spots].has(state.gene ?? "")) {
    layers.push({
      kind: "spots",
      index: side.spots,
      plane: "v",
      gene: state.gene,
      key: spotsKey(scene, state, side.spots),
    });
  }
  return layers;
}

/** @param {Scene} scene @param {number} index @param {string} plane @param {string|null} gene @returns {Layer} */
export function mapLayer(scene, index, plane, gene) {
  const first = scene.maps.findIndex(({ units }) => units === scene.maps[index].units);
  return { kind: "map", index, plane, gene, key: plane === "n" ? "n" : `${plane}${first}` };
}

/** @param {Scene} scene @param {State} state @param {number} index @returns {string} */
function spotsKey(scene, state, index) {
  const first = scene.maps.findIndex(({ units }) => units === scene.samples[index].units);
  return state.shared && first >= 0 ? `v${first}` : `p${index}`;
}

/** @param {Scene} scene @returns {boolean} whether any sample has the units of a map */
export function canShare(scene) {
  return scene.samples.some((sample) => scene.maps.some((map) => map.units === sample.units));
}

/** @param {Scene} scene @param {Layer} layer @returns {string} the units of its values */
export function unitsOf(scene, layer) {
  if (layer.kind === "spots") return scene.samples[layer.index].units;
  const { units } = scene.maps[layer.index];
  return (
    { v: units, s: `standard deviation, ${units}`, n: "1 is exceeded by 1 training tile in 100" }[layer.plane] ?? units
  );
}

/** @param {Scene} scene @param {Layer} layer @returns {string} which map or sample, and what of it */
export function captionOf(scene, layer) {
  if (layer.kind === "map") {
    const { name } = scene.maps[layer.index];
    return `${{ v: "predicted map", s: "spread of map", n: "of map" }[layer.plane]} ${name}`;
  }
  const { name, kind } = scene.samples[layer.index];
  return `${kind} spots ${name}`;
}
