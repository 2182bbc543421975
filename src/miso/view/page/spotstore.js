/** Spots and their values as they arrive: null until they are here. */

import { Spots } from "./spots.js";

/** What is kept of samples. */
export class SpotStore {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {() => void} arrived
   * @param {(text: string) => void} failed
   */
  constructor(scene, arrived, failed) {
    this.scene = scene;
    this.arrived = arrived;
    this.failed = failed;
    /** @type {Map<string, any>} */
    this.kept = new Map();
    /** @type {Map<string, any>} */
    this.whereabouts = new Map();
  }

  /** @param {number} sample @returns {Spots|null} */
  places(sample) {
    return this.#get(
      this.whereabouts,
      `samples/${sample}/spots.json`,
      async (url) => new Spots(await this.scene.json(url)),
    );
  }

  /** @param {number} sample @param {string|null} gene @returns {Float32Array|null} */
  values(sample, gene) {
    const index = this.scene.inSample[sample].get(gene ?? "");
    if (index === undefined) return null;
    return this.#get(this.kept, `samples/${sample}/genes/${index}.f32`, (url) => this.scene.floats(url));
  }

  /** @param {Map<string, any>} kept @param {string} url @param {(url: string) => Promise<any>} get */
  #get(kept, url, get) {
    if (!kept.has(url)) {
      kept.set(url, null);
      if (kept.size > this.scene.most) kept.delete(kept.keys().next().value ?? "");
      get(url).then(
        (found) => {
          kept.set(url, found);
          this.arrived();
        },
        (error) => {
          this.failed(error.message);
          setTimeout(() => kept.delete(url), 15_000);
        },
      );
    }
    return kept.get(url);
  }
}
