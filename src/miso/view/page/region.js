/** A region drawn on the slide: a polygon in level-0 pixels, by clicks, by a drag, or all that is in view. */

import { byId } from "./dom.js";
import { seen, toImage, toScreen } from "./frame.js";

/**
 * @typedef {[number, number][]} Polygon level-0 px, not closed
 */
const NEAR_PX = 4;

/** The tool that draws a region. */
export class Region {
  /**
   * @param {import("./stage.js").Stage} stage
   * @param {{closed: (polygon: Polygon) => void, cleared: () => void}} hooks
   */
  constructor(stage, hooks) {
    this.stage = stage;
    this.hooks = hooks;
    this.tool = "";
    /** @type {Polygon} */
    this.points = [];
    /** @type {[number, number]|null} */
    this.pointer = null;
    this.done = false;
    for (const tool of ["polygon", "rectangle"])
      byId(`region-${tool}`).addEventListener("click", () => this.take(this.tool === tool ? "" : tool));
    byId("region-view").addEventListener("click", () => this.#wholeView());
  }

  /** Take a tool in hand, or put it away with "". @param {string} tool */
  take(tool) {
    if (tool) this.clear();
    this.tool = tool;
    if (!this.done) this.points = [];
    this.stage.element.classList.toggle("drawing", tool !== "");
    for (const name of ["polygon", "rectangle"])
      byId(`region-${name}`).setAttribute("aria-pressed", String(tool === name));
    byId("region-hint").textContent =
      {
        polygon: "Click the corners; a double click or Enter closes, Esc cancels.",
        rectangle: "Drag a rectangle; Esc cancels.",
      }[tool] ?? "";
    this.stage.draw();
  }

  /** Enter. */
  finish() {
    if (this.tool === "polygon") this.#close();
  }

  /** Remove the region. */
  clear() {
    this.done = false;
    this.points = [];
    this.hooks.cleared();
    this.stage.draw();
  }

  /** Esc. */
  cancel() {
    if (this.tool) this.take("");
    else this.clear();
  }

  /** Listen to a pane. @param {import("./pane.js").Pane} pane */
  watch(pane) {
    const at = (/** @type {any} */ event) =>
      toImage(/** @type {any} */ (pane.frame()), event.position.x, event.position.y);
    const on = (/** @type {string} */ name, /** @type {string[]} */ tools, /** @type {(event: any) => void} */ run) =>
      pane.viewer.addHandler(name, (/** @type {any} */ event) => {
        if (!tools.includes(this.tool)) return;
        event.preventDefaultAction = true;
        run(event);
        this.stage.draw();
      });
    on("canvas-click", ["polygon"], (event) => event.quick && this.points.push(at(event)));
    on("canvas-double-click", ["polygon", "rectangle"], () => this.finish());
    on("canvas-press", ["rectangle"], (event) => (this.points = [at(event)]));
    on("canvas-drag", ["rectangle"], (event) => this.#drag(at(event)));
    on("canvas-drag-end", ["rectangle"], () => this.#close());
    pane.element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (this.tool !== "polygon" || !this.points.length) return;
      const box = pane.element.getBoundingClientRect();
      this.pointer = toImage(/** @type {any} */ (pane.frame()), event.clientX - box.left, event.clientY - box.top);
      this.stage.draw();
    });
  }

  /** Draw the region. @param {CanvasRenderingContext2D} context @param {import("./frame.js").Frame} frame */
  mark(context, frame) {
    if (!this.points.length) return;
    const open = this.tool === "polygon" && this.pointer ? [...this.points, this.pointer] : this.points;
    const corners = open.map(([x, y]) => toScreen(frame, x, y).map((one) => one * frame.ratio));
    context.beginPath();
    corners.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (this.done || this.tool === "rectangle") context.closePath();
    for (const [color, width] of /** @type {[string, number][]} */ ([
      ["white", 4],
      ["#0b57a4", 2],
    ])) {
      context.strokeStyle = color;
      context.lineWidth = width * frame.ratio;
      context.stroke();
    }
    context.fillStyle = "#0b57a4";
    if (!this.done)
      corners.forEach(([x, y]) =>
        context.fillRect(x - 3 * frame.ratio, y - 3 * frame.ratio, 6 * frame.ratio, 6 * frame.ratio),
      );
  }

  /** @param {[number, number]} to */
  #drag([x, y]) {
    const [[left, top]] = this.points;
    this.points = [
      [left, top],
      [x, top],
      [x, y],
      [left, y],
    ];
  }

  #wholeView() {
    const frame = this.stage.active.frame();
    if (!frame) return;
    this.clear();
    const { left, top, right, bottom } = seen(frame);
    const { width, height } = this.stage.scene.slide;
    const [x0, x1] = [left, right].map((x) => Math.min(width, Math.max(0, x)));
    const [y0, y1] = [top, bottom].map((y) => Math.min(height, Math.max(0, y)));
    this.points = [
      [x0, y0],
      [x1, y0],
      [x1, y1],
      [x0, y1],
    ];
    this.#close();
  }

  #close() {
    const near = NEAR_PX / (this.stage.active.frame()?.scale ?? 1);
    const points = this.points.filter(([x, y], i, all) => {
      const [px, py] = all[(i + all.length - 1) % all.length];
      return all.length < 2 || Math.hypot(x - px, y - py) > near;
    });
    if (points.length < 3 || area(points) === 0) {
      byId("region-hint").textContent = "A region needs three corners or more.";
      if (this.tool === "rectangle") this.points = [];
      return;
    }
    this.points = points;
    this.done = true;
    this.pointer = null;
    this.take("");
    this.hooks.closed(points);
  }
}

/** @param {Polygon} points @returns {number} in square level-0 px */
export function area(points) {
  const twice = points.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = points[(i + 1) % points.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(twice) / 2;
}
