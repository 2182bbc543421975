/** The colour scales in use: typed limits, or those that what is shown has by itself. */

import { layersOf, sidesOf } from "./layers.js";
import { colorsOf, scaleOf } from "./scale.js";

/**
 * @typedef {import("./layers.js").Layer} Layer
 * @typedef {import("./layers.js").State} State
 * @typedef {import("./scale.js").Scale} Scale
 */

/** Scales by key; those whose limits are still on their way are null. */
export class Scales {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {State} state
   * @param {() => void} arrived called when limits have come
   * @param {(text: string) => void} failed
   */
  constructor(scene, state, arrived, failed) {
    this.scene = scene;
    this.state = state;
    this.arrived = arrived;
    this.failed = failed;
    this.tables = new Map(Object.entries(scene.colormaps).map(([name, hex]) => [name, colorsOf(hex)]));
    /** @type {Map<string, [number, number]|null>} */
    this.known = new Map();
  }

  /** @returns {Layer[]} every layer on show */
  shown() {
    return sidesOf(this.state).flatMap((side) => layersOf(this.scene, this.state, side));
  }

  /** @param {string} key @returns {Scale|null} */
  get(key) {
    const limits = this.state.limits[key] ?? this.automatic(key);
    if (!limits) return null;
    const expression = key[0] === "v" || key[0] === "p";
    return scaleOf(limits[0], limits[1], expression && this.state.log, expression ? this.state.colors : this.#other());
  }

  /** @param {Scale} scale @returns {Uint32Array} */
  table(scale) {
    return /** @type {Uint32Array} */ (this.tables.get(scale.name) ?? this.tables.values().next().value);
  }

  /** The limits that the shown layers of a scale have by themselves. @param {string} key */
  automatic(key) {
    const found = this.shown()
      .filter((layer) => layer.key === key)
      .map((layer) => this.#limits(layer));
    const ready = found.filter((one) => one !== null);
    if (!found.length || ready.length < found.length) return null;
    return /** @type {[number, number]} */ ([
      Math.min(...ready.map(([low]) => low)),
      Math.max(...ready.map(([, high]) => high)),
    ]);
  }

  /** @param {Layer} layer @returns {[number, number]|null} null while they are fetched */
  #limits(layer) {
    const { kind, index, plane, gene } = layer;
    const folder =
      kind === "map"
        ? this.scene.folder(index, plane, gene)
        : `samples/${index}/genes/${this.scene.inSample[index].get(gene ?? "")}`;
    const url = kind === "map" ? `${folder}/percentiles.json` : `${folder}.f32`;
    if (!this.known.has(url)) {
      this.known.set(url, null);
      this.#fetch(kind, url);
    }
    return this.known.get(url) ?? null;
  }

  /** @param {string} kind @param {string} url */
  async #fetch(kind, url) {
    try {
      const found = kind === "map" ? await this.scene.json(url) : percentiles(await this.scene.floats(url));
      this.known.set(url, limitsOf(found, url.endsWith("/n/percentiles.json")));
    } catch (error) {
      this.failed(/** @type {Error} */ (error).message);
      setTimeout(() => this.known.delete(url), 15_000);
    }
    this.arrived();
  }

  /** Colours of spread and novelty: not those of expression. */
  #other() {
    return this.state.colors === "magma" ? "viridis" : "magma";
  }
}

/**
 * Percentiles 1 and 99; of novelty 0 to 1 at least, for 1 is where it begins to matter.
 * @param {number[]} found percentiles 0 to 100, or none
 * @param {boolean} novelty
 * @returns {[number, number]}
 */
function limitsOf(found, novelty) {
  if (!found.length) return [0, 1];
  return novelty ? [0, Math.max(1, found[99])] : [found[1], found[99]];
}

/** @param {Float32Array} values @returns {number[]} 101 of them, by linear interpolation; none if nothing is seen */
export function percentiles(values) {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  if (!sorted.length) return [];
  return Array.from({ length: 101 }, (_, share) => {
    const at = (share / 100) * (sorted.length - 1);
    const below = Math.floor(at);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
  });
}
