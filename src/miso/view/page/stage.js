/** The panes and how they share the view: one, one with a divider, or two that move together. */

import { byId, make } from "./dom.js";
import { Pane } from "./pane.js";

const STEP = 0.02;

/** The stage: pane a always, pane b when the sides lie side by side. */
export class Stage {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {import("./layers.js").State} state
   * @param {{draw: (pane: Pane) => void, lost: (text: string) => void, changed: () => void, moved: () => void,
   *   made: (pane: Pane) => void}} hooks
   */
  constructor(scene, state, hooks) {
    this.scene = scene;
    this.state = state;
    this.hooks = hooks;
    this.element = byId("stage");
    this.a = new Pane("a", scene, { ...hooks, navigator: true });
    /** @type {Pane|null} */
    this.b = null;
    this.active = this.a;
    this.laid = "";
    /** @type {Promise<void>|undefined} */
    this.opening = undefined;
    this.divider = this.#divider();
    this.element.addEventListener("pointerdown", () => this.element.focus({ preventScroll: true }));
    this.element.append(this.a.element);
    this.a.element.append(this.divider);
  }

  /** @returns {Pane[]} the panes on show */
  panes() {
    return this.state.mode === "side" && this.b ? [this.a, this.b] : [this.a];
  }

  /** Open the slide, laid out as the state says. */
  async open() {
    this.element.dataset.mode = this.state.mode;
    const second = this.state.mode === "side" ? this.#second() : null;
    await this.a.open();
    this.#watch(this.a);
    await second;
  }

  /** Open the slide in pane b, once. */
  #second() {
    this.opening ??= (async () => {
      const pane = new Pane("b", this.scene, { ...this.hooks, navigator: false });
      this.element.append(pane.element);
      await pane.open();
      this.#watch(pane);
      this.b = pane;
    })();
    return this.opening;
  }

  /** Lay the panes out as the state says. */
  async arrange() {
    const { divider } = this.state;
    this.element.dataset.mode = this.state.mode;
    this.divider.hidden = this.state.mode !== "swipe";
    this.divider.style.left = `${100 * divider}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(100 * divider)));
    if (this.state.mode === "side") await this.#second();
    const { mode } = this.state; // perhaps another one by now
    if (mode === "side" && this.laid !== "side") requestAnimationFrame(() => this.b?.go(this.a.place()));
    if (mode !== "side") this.active = this.a;
    this.laid = mode;
    this.draw();
  }

  /** Draw every pane soon. */
  draw() {
    for (const pane of this.panes()) pane.draw();
  }

  /**
   * The parts of a pane and the side that each shows.
   * @param {Pane} pane
   * @returns {{side: import("./layers.js").Side, left: number, right: number}[]} CSS pixels
   */
  parts(pane) {
    const width = pane.element.clientWidth;
    const { mode, a, b, divider } = this.state;
    if (mode === "swipe")
      return [
        { side: a, left: 0, right: divider * width },
        { side: b, left: divider * width, right: width },
      ];
    return [{ side: pane.name === "a" ? a : b, left: 0, right: width }];
  }

  /** @param {Pane} pane */
  #watch(pane) {
    for (const event of ["pointerdown", "wheel", "focusin"])
      pane.element.addEventListener(event, () => (this.active = pane), { passive: true });
    pane.viewer.addHandler("update-viewport", () => {
      const other = pane === this.a ? this.b : this.a;
      if (this.state.mode === "side" && other && this.active === pane) follow(pane, other);
    });
    pane.viewer.addHandler("viewport-change", this.hooks.moved);
    new ResizeObserver(() => pane.draw()).observe(pane.element);
    this.hooks.made(pane);
  }

  #divider() {
    const move = (/** @type {number} */ to) => {
      this.state.divider = Math.min(1, Math.max(0, to));
      this.divider.style.left = `${100 * this.state.divider}%`;
      this.divider.setAttribute("aria-valuenow", String(Math.round(100 * this.state.divider)));
      this.a.draw();
      this.hooks.changed();
    };
    const handle = make(
      "div",
      {
        class: "divider",
        role: "slider",
        tabindex: "0",
        "aria-label": "divider between the two sides",
        "aria-valuemin": "0",
        "aria-valuemax": "100",
        "aria-orientation": "horizontal",
        hidden: true,
      },
      make("span", { text: "◂▸", "aria-hidden": "true" }),
    );
    handle.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      handle.setPointerCapture(event.pointerId);
      handle.focus();
      event.stopPropagation();
    });
    handle.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const { left, width } = this.a.element.getBoundingClientRect();
      move((event.clientX - left) / width);
    });
    handle.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const to = { ArrowLeft: this.state.divider - STEP, ArrowRight: this.state.divider + STEP, Home: 0, End: 1 }[
        event.key
      ];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      move(to);
    });
    return handle;
  }
}

/** @param {Pane} from @param {Pane} to */
function follow(from, to) {
  const [one, other] = [from.viewer.viewport, to.viewer.viewport];
  const [zoom, center] = [one.getZoom(true), one.getCenter(true)];
  const width = from.element.clientWidth / to.element.clientWidth || 1;
  const there = other.getCenter(true);
  if (
    Math.abs(other.getZoom(true) / (zoom * width) - 1) < 1e-9 &&
    Math.hypot(there.x - center.x, there.y - center.y) < 1e-9
  )
    return;
  other.zoomTo(zoom * width, null, true);
  other.panTo(center, true);
}
