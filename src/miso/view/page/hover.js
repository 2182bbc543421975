/** What lies under the pointer, or at the centre of the view: position, value, spread, novelty, nearest spot. */

import { byId, make } from "./dom.js";
import { toImage, toScreen } from "./frame.js";
import { request } from "./raster.js";
import { readable } from "./scale.js";

const REST_MS = 60;

/**
 * @typedef {import("./layers.js").Side} Side
 * @typedef {{x: number, y: number, side: Side, fixed: boolean}} Point level-0 px; `fixed` if it does not follow the pointer
 */

/** The readout. */
export class Hover {
  /**
   * @param {{scene: import("./scene.js").Scene, state: import("./layers.js").State, tiles: import("./tiles.js").Tiles,
   *   spots: import("./spotstore.js").SpotStore, stage: import("./stage.js").Stage}} app
   */
  constructor(app) {
    this.app = app;
    /** @type {Point|null} */
    this.point = null;
    this.waiting = 0;
    this.line = byId("readout");
    byId("read-center").addEventListener("click", () => this.readCenter());
  }

  /** Follow the pointer over a pane. @param {import("./pane.js").Pane} pane */
  watch(pane) {
    pane.element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      const frame = pane.frame();
      if (!frame || event.pointerType === "touch") return;
      const box = pane.element.getBoundingClientRect();
      this.#at(pane, frame, event.clientX - box.left, event.clientY - box.top, false);
    });
    pane.element.addEventListener("pointerleave", () => {
      if (!this.point?.fixed) this.#leave();
    });
  }

  /** Read what lies at the centre of the view, and say it to a screen reader. */
  readCenter() {
    const pane = this.app.stage.active;
    const frame = pane.frame();
    if (!frame) return;
    this.#at(pane, frame, frame.width / 2, frame.height / 2, true);
    this.app.stage.draw();
    setTimeout(() => (byId("spoken").textContent = this.line.textContent), 400);
  }

  /** Show again what is known of the point. */
  show() {
    const { point } = this;
    if (!point) return;
    const parts = [this.#position(point), ...this.#map(point), ...this.#spots(point)];
    this.line.replaceChildren(
      ...parts.map(([name, value]) => make("span", {}, make("i", { text: name }), ` ${value}`)),
    );
  }

  /** Mark a fixed point. @param {CanvasRenderingContext2D} context @param {import("./frame.js").Frame} frame */
  mark(context, frame) {
    if (!this.point?.fixed) return;
    const [x, y] = toScreen(frame, this.point.x, this.point.y).map((at) => at * frame.ratio);
    for (const [color, width] of /** @type {[string, number][]} */ ([
      ["white", 4],
      ["black", 1.5],
    ])) {
      context.strokeStyle = color;
      context.lineWidth = width * frame.ratio;
      context.beginPath();
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        context.moveTo(x + 4 * dx * frame.ratio, y + 4 * dy * frame.ratio);
        context.lineTo(x + 12 * dx * frame.ratio, y + 12 * dy * frame.ratio);
      }
      context.stroke();
    }
  }

  /** @param {any} pane @param {any} frame @param {number} left @param {number} top @param {boolean} fixed */
  #at(pane, frame, left, top, fixed) {
    const part = this.app.stage.parts(pane).find((one) => left >= one.left && left <= one.right);
    const [x, y] = toImage(frame, left, top);
    const fell = this.point?.fixed && !fixed;
    this.point = { x, y, fixed, side: part?.side ?? this.app.state.a };
    if (fell) this.app.stage.draw();
    this.show();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.app.tiles.want("hover", this.#needed()), fixed ? 0 : REST_MS);
  }

  #leave() {
    clearTimeout(this.waiting);
    this.app.tiles.want("hover", []);
    this.point = null;
    this.line.replaceChildren("Point at the slide, or read its centre with i.");
  }

  /** @param {Point} point @returns {[string, string][]} */
  #map(point) {
    const { scene, state } = this.app;
    const index = mapOf(point.side, state);
    if (index === null || !scene.maps.length) return [];
    const { units } = scene.maps[index];
    const [value, spread, novelty] = ["v", "s", "n"].map((plane) => this.#value(point, index, plane));
    const several = scene.maps.length > 1 ? `${state.gene} in ${scene.maps[index].name}` : String(state.gene);
    return [
      ...(value === null ? [] : [/** @type {[string, string]} */ ([several, `${value} ${units}`])]),
      ...(spread === null ? [] : [/** @type {[string, string]} */ (["spread", spread])]),
      ...(novelty === null ? [] : [/** @type {[string, string]} */ (["novelty", novelty])]),
    ];
  }

  /** @param {Point} point @returns {[string, string]} */
  #position({ x, y }) {
    const { mpp } = this.app.scene.slide;
    return ["x, y", `${(x * mpp).toFixed(1)}, ${(y * mpp).toFixed(1)} µm`];
  }

  /**
   * A value, "≈" before that of a coarser cell, or null where the map has no such plane.
   * @param {Point} point
   * @param {number} index
   * @param {string} plane
   */
  #value(point, index, plane) {
    const { scene, state, tiles } = this.app;
    const map = scene.maps[index];
    const folder = scene.folder(index, plane, state.gene);
    const cell = cellAt(map, point);
    if (!folder) return null;
    if (!cell) return "off the map";
    for (let level = 0; level < map.levels; level++) {
      const [column, row] = cell.map((at) => at >> level);
      const tile = tiles.get(
        request(map, folder, { level, column: Math.floor(column / map.tile), row: Math.floor(row / map.tile) }).url,
      );
      if (!tile) continue;
      const value = tile.data[(row % map.tile) * tile.columns + (column % map.tile)];
      return Number.isNaN(value) ? "not seen" : `${level ? "≈ " : ""}${readable(value)}`;
    }
    return "…";
  }

  /**
   * @param {Point} point
   * @returns {[string, string][]} the nearest spot of each sample, one line for those of one place
   */
  #spots({ x, y }) {
    const { scene, state, spots } = this.app;
    /** @type {Map<string, Map<string, string[]>>} */
    const lines = new Map();
    scene.samples.forEach((sample, i) => {
      const places = spots.places(i);
      const near = places?.nearest(x, y);
      if (!places || !near) return;
      const line = `${places.names[near.index]}, ${readable(near.away * scene.slide.mpp)} µm away`;
      const value = spots.values(i, state.gene)?.[near.index];
      const byUnits = lines.get(line) ?? new Map();
      lines.set(line, byUnits);
      if (value !== undefined)
        byUnits.set(sample.units, [...(byUnits.get(sample.units) ?? []), `${sample.kind} ${readable(value)}`]);
    });
    const values = (/** @type {Map<string, string[]>} */ byUnits) =>
      [...byUnits].map(([units, said]) => `${said.join(", ")} ${units}`).join(", ");
    return [...lines].map(([line, byUnits]) => ["nearest spot", [line, values(byUnits)].filter(Boolean).join(": ")]);
  }

  /** @returns {import("./tiles.js").Request[]} the finest tiles under the point */
  #needed() {
    const { scene, state } = this.app;
    const { point } = this;
    const index = point ? mapOf(point.side, state) : null;
    const cell = point && index !== null && scene.maps.length ? cellAt(scene.maps[index], point) : null;
    if (!cell || index === null) return [];
    const map = scene.maps[index];
    const [column, row] = cell.map((at) => Math.floor(at / map.tile));
    const folders = ["v", "s", "n"]
      .map((plane) => scene.folder(index, plane, state.gene))
      .filter((folder) => folder !== null);
    return folders.map((folder) => request(map, folder, { level: 0, column, row }));
  }
}

/** @param {Side} side @param {import("./layers.js").State} state @returns {number|null} the map that a side reads */
export function mapOf(side, state) {
  return side.map ?? state.a.map ?? state.b.map;
}

/**
 * @param {import("./scene.js").MapInfo} map
 * @param {{x: number, y: number}} point level-0 px
 * @returns {[number, number]|null} column and row, null off the map
 */
export function cellAt(map, { x, y }) {
  const column = Math.floor((x - map.origin_xy[0]) / map.step_px + 0.5);
  const row = Math.floor((y - map.origin_xy[1]) / map.step_px + 0.5);
  return column < 0 || row < 0 || row >= map.shape[0] || column >= map.shape[1] ? null : [column, row];
}
