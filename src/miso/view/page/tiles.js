/** Map tiles in memory: those wanted now are fetched, the least recently used are dropped, the unwanted aborted. */

import { load } from "./scene.js";

export const LIMIT = 320;
const PARALLEL = 6;
const AGAIN_MS = 15_000;

/**
 * @typedef {{data: Float32Array, columns: number, rows: number, sign: string, picture: HTMLCanvasElement|null}} Tile
 *   numbers row by row; `picture` is the tile in the colours that `sign` names
 * @typedef {{url: string, columns: number, rows: number}} Request
 */

/** A bounded store of tiles. */
export class Tiles {
  /**
   * @param {() => void} arrived called when a tile has come
   * @param {(text: string) => void} failed called with one line when one could not be had
   */
  constructor(arrived, failed) {
    this.arrived = arrived;
    this.failed = failed;
    /** @type {Map<string, Tile>} */
    this.kept = new Map();
    /** @type {Map<string, AbortController>} */
    this.coming = new Map();
    /** @type {Map<string, number>} */
    this.lost = new Map();
    /** @type {Map<string, Request[]>} */
    this.wanted = new Map();
  }

  /** @param {string} url @returns {Tile|undefined} */
  get(url) {
    const tile = this.kept.get(url);
    if (tile) {
      this.kept.delete(url);
      this.kept.set(url, tile);
    }
    return tile;
  }

  /**
   * Say what one reader needs now, most wanted first; this replaces what it needed before.
   * @param {string} reader
   * @param {Request[]} requests
   */
  want(reader, requests) {
    this.wanted.set(
      reader,
      requests.filter(({ url }) => !this.kept.has(url)),
    );
    const urls = new Set([...this.wanted.values()].flat().map(({ url }) => url));
    for (const [url, control] of this.coming) if (!urls.has(url)) control.abort();
    this.#next();
  }

  #next() {
    for (const request of [...this.wanted.values()].flat()) {
      if (this.coming.size >= PARALLEL) return;
      const { url } = request;
      const rests = performance.now() - (this.lost.get(url) ?? -AGAIN_MS) < AGAIN_MS;
      if (!this.coming.has(url) && !this.kept.has(url) && !rests) this.#fetch(request);
    }
  }

  /** @param {Request} request */
  async #fetch({ url, columns, rows }) {
    const control = new AbortController();
    this.coming.set(url, control);
    try {
      const data = new Float32Array(await (await load(url, { signal: control.signal })).arrayBuffer());
      if (data.length !== columns * rows) {
        throw new Error(`${url} holds ${data.length} numbers, and ${columns} × ${rows} were expected.`);
      }
      this.kept.set(url, { data, columns, rows, sign: "", picture: null });
      this.lost.delete(url);
      while (this.kept.size > LIMIT) this.kept.delete(this.kept.keys().next().value ?? "");
      this.arrived();
    } catch (error) {
      if (!control.signal.aborted) {
        this.lost.set(url, performance.now());
        this.failed(/** @type {Error} */ (error).message);
      }
    } finally {
      this.coming.delete(url);
      this.#next();
    }
  }
}
