/** The scene: a slide, its maps and samples, and what is fetched about them once. */

/**
 * @typedef {{name: string, width: number, height: number, mpp: number, mpp_source: string, tile: number, levels: number}} SlideInfo
 * @typedef {{name: string, units: string, pitch_um: number, origin_xy: [number, number], step_px: number,
 *   shape: [number, number], tile: number, levels: number, genes: string[], grades: Object<string, string>,
 *   has_std: boolean, has_novelty: boolean, slide_novelty: number|null, about: [string, string][]}} MapInfo
 * @typedef {{name: string, kind: string, units: string, genes: string[], spots: number, spot_px: number,
 *   square: boolean}} SampleInfo
 */

export const GRADES = new Map([
  ["A", "grade A"],
  ["B", "grade B"],
  ["C", "grade C: cross-validation bears it out weakly"],
  ["D", "grade D: cross-validation does not bear it out"],
  ["untested", "not cross-validated"],
]);
const WORSE = ["untested", "A", "B", "C", "D"];
const KEPT_NUMBERS = 16e6;

/**
 * Fetch a resource of the page.
 * @param {string} url relative to the page
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 * @throws {Error} one line that says what could not be loaded
 */
export async function load(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new Error(`Could not reach the server for ${url}. Is it still running?`, { cause: error });
  }
  if (!response.ok) throw new Error(`Could not load ${url}: the server answered ${response.status}.`);
  return response;
}

/** What the page shows. */
export class Scene {
  /** @param {any} json scene.json */
  constructor(json) {
    /** @type {SlideInfo} */
    this.slide = json.slide;
    /** @type {MapInfo[]} */
    this.maps = json.maps;
    /** @type {SampleInfo[]} */
    this.samples = json.samples;
    /** @type {Object<string, string>} */
    this.colormaps = json.colormaps;
    /** @type {{map: number|null, gene: string|null}} */
    this.start = json.start;
    this.live = Boolean(json.live);
    this.version = String(json.version);
    const all = [...this.maps, ...this.samples];
    this.genes = [...new Set(all.flatMap((one) => one.genes))];
    this.inMap = this.maps.map((map) => indexed(map.genes));
    this.inSample = this.samples.map((sample) => indexed(sample.genes));
    this.grades = this.maps.map((map) => new Map(Object.entries(map.grades)));
    /** @type {Map<string, Promise<any>>} */
    this.kept = new Map();
    this.most = Math.min(
      400,
      Math.max(8, Math.floor(KEPT_NUMBERS / Math.max(1, ...this.samples.map(({ spots }) => spots)))),
    );
  }

  /**
   * The folder of a plane of a map, or null where the map does not have it.
   * @param {number} map
   * @param {string} plane "v" value, "s" spread, "n" novelty
   * @param {string|null} gene
   */
  folder(map, plane, gene) {
    const info = this.maps[map];
    if (plane === "n") return info.has_novelty ? `maps/${map}/n` : null;
    const index = gene === null ? undefined : this.inMap[map].get(gene);
    if (index === undefined || (plane === "s" && !info.has_std)) return null;
    return `maps/${map}/${plane === "s" ? "s" : ""}${index}`;
  }

  /** @param {string} gene @returns {string|null} the worst grade that any map gives the gene */
  grade(gene) {
    const found = this.grades.map((grades) => grades.get(gene)).filter((one) => one !== undefined);
    return found.length
      ? /** @type {string} */ (found.sort((p, q) => WORSE.indexOf(p) - WORSE.indexOf(q)).at(-1))
      : null;
  }

  /**
   * JSON, fetched once; a failure is not kept.
   * @param {string} url
   * @returns {Promise<any>}
   */
  json(url) {
    return this.#once(url, async () => (await load(url)).json());
  }

  /**
   * Little-endian float32 numbers, fetched once; a failure is not kept.
   * @param {string} url
   * @returns {Promise<Float32Array>}
   */
  floats(url) {
    return this.#once(url, async () => new Float32Array(await (await load(url)).arrayBuffer()));
  }

  /** @param {string} url @param {() => Promise<any>} get */
  #once(url, get) {
    let found = this.kept.get(url);
    if (!found) {
      found = get();
      found.catch(() => this.kept.delete(url));
      this.kept.set(url, found);
      if (this.kept.size > this.most) this.kept.delete(this.kept.keys().next().value ?? "");
    }
    return found;
  }
}

/** @param {string[]} names @returns {Map<string, number>} */
function indexed(names) {
  return new Map(names.map((name, i) => [name, i]));
}

/** @returns {Promise<Scene>} the scene of this page */
export async function openScene() {
  return new Scene(await (await load("scene.json")).json());
}
