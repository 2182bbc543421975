/** One window on the slide: OpenSeadragon below, our layers above it, drawn whenever the view moves. */

import { calm, make } from "./dom.js";
import { barOf } from "./frame.js";
import { readable } from "./scale.js";
import { tileSource } from "./slide.js";

const MOST_PIXELS = 48;
const BAR_PX = 150;
const OVERVIEW_PX = 140;

/** A pane of the stage. */
export class Pane {
  /**
   * @param {string} name "a" or "b"
   * @param {import("./scene.js").Scene} scene
   * @param {{draw: (pane: Pane) => void, lost: (text: string) => void, navigator: boolean}} hooks
   */
  constructor(name, scene, hooks) {
    this.name = name;
    this.scene = scene;
    this.element = make("div", { class: "pane", "data-pane": name });
    this.slide = make("div", { class: "slide" });
    this.layers = make("canvas", { class: "layers", "aria-hidden": "true" });
    this.marks = make("canvas", { class: "marks", "aria-hidden": "true" });
    this.legends = make("div", { class: "legends" });
    this.bar = make("div", { class: "bar", title: "scale bar" }, make("span"), make("i"));
    this.overview = hooks.navigator ? overviewOf(scene.slide) : null;
    this.element.append(this.slide, this.layers, this.marks, this.legends, this.bar);
    if (this.overview) this.element.append(this.overview);
    this.hooks = hooks;
    this.pending = 0;
  }

  /** Open the slide; the pane must lie in the page. */
  open() {
    const still = calm();
    withoutInlineStyle();
    // @ts-ignore: a global of openseadragon.min.js
    this.viewer = OpenSeadragon({
      element: this.slide,
      tileSources: tileSource(this.scene.slide),
      drawer: "canvas",
      showNavigationControl: false,
      showNavigator: this.overview !== null,
      navigatorElement: this.overview,
      keyboardNavEnabled: false,
      tabIndex: "",
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: !still },
      gestureSettingsTouch: { dblClickToZoom: true },
      maxZoomPixelRatio: MOST_PIXELS,
      minZoomImageRatio: 0.5,
      visibilityRatio: 0.2,
      preserveImageSizeOnResize: true,
      animationTime: still ? 0 : 0.5,
      immediateRender: still,
      maxImageCacheCount: 300,
      imageLoaderLimit: 8,
      timeout: 60_000,
    });
    this.viewer.addHandler("canvas-key", (/** @type {any} */ event) => (event.preventDefaultAction = true));
    this.viewer.addHandler("update-viewport", () => this.drawNow());
    this.viewer.addHandler("tile-load-failed", (/** @type {any} */ event) => {
      if (!/abort/i.test(event.message))
        this.hooks.lost("Could not load a tile of the slide. Is the server still running?");
    });
    this.viewer.addHandler("open-failed", () => this.hooks.lost("Could not open the slide."));
    return new Promise((resolve) => this.viewer.addOnceHandler("open", () => resolve(this)));
  }

  /** @returns {import("./frame.js").Frame|null} how the slide lies now; null before it is open */
  frame() {
    const item = this.viewer?.world.getItemAt(0);
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!item || !width || !height) return null;
    const at = (/** @type {number} */ x) =>
      this.viewer.viewport.pixelFromPoint(item.imageToViewportCoordinates(x, 0), true);
    const [zero, right] = [at(0), at(this.scene.slide.width)];
    const scale = (right.x - zero.x) / this.scene.slide.width;
    return { scale, x: zero.x, y: zero.y, width, height, ratio: devicePixelRatio || 1 };
  }

  /** Draw soon, once. */
  draw() {
    if (!this.pending) this.pending = requestAnimationFrame(() => this.drawNow());
  }

  /** Draw in this frame. */
  drawNow() {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    const frame = this.frame();
    if (!frame) return;
    for (const canvas of [this.layers, this.marks]) {
      const [width, height] = [Math.round(frame.width * frame.ratio), Math.round(frame.height * frame.ratio)];
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
      canvas.getContext("2d").clearRect(0, 0, width, height);
    }
    this.#measure(frame);
    this.hooks.draw(this);
  }

  /**
   * @returns {{x: number, y: number, zoom: number}} centre in level-0 px, and CSS pixels a level-0 px, once at rest
   */
  place() {
    const { viewport } = this.viewer;
    const item = this.viewer.world.getItemAt(0);
    const { x, y } = item.viewportToImageCoordinates(viewport.getCenter(false));
    return { x, y, zoom: item.viewportToImageZoom(viewport.getZoom(false)) };
  }

  /** @param {{x: number, y: number, zoom: number}} place @param {boolean} [now] */
  go({ x, y, zoom }, now = true) {
    const { viewport } = this.viewer;
    const item = this.viewer.world.getItemAt(0);
    viewport.zoomTo(item.imageToViewportZoom(zoom), null, now);
    viewport.panTo(item.imageToViewportCoordinates(x, y), now);
    viewport.applyConstraints(now);
  }

  /** @param {number} times */
  zoomBy(times) {
    this.viewer.viewport.zoomBy(times);
    this.viewer.viewport.applyConstraints();
  }

  /** Move by shares of the pane. @param {number} across @param {number} down */
  panBy(across, down) {
    const { width, height } = this.viewer.viewport.getBounds();
    // @ts-ignore: a global of openseadragon.min.js
    this.viewer.viewport.panBy(new OpenSeadragon.Point(across * width, down * height));
    this.viewer.viewport.applyConstraints();
  }

  /** Show the whole slide. */
  home() {
    this.viewer.viewport.goHome(calm());
  }

  /** @param {import("./frame.js").Frame} frame */
  #measure(frame) {
    const { um, px } = barOf(this.scene.slide.mpp / frame.scale, BAR_PX);
    this.bar.lastChild.style.width = `${px}px`;
    this.bar.firstChild.textContent = um >= 1000 ? `${readable(um / 1000)} mm` : `${readable(um)} µm`;
  }
}

/**
 * @param {import("./scene.js").SlideInfo} slide
 * @returns {HTMLElement} the box of the overview, in the slide's proportions
 */
function overviewOf({ width, height }) {
  const box = make("div", { class: "overview", title: "overview of the slide" });
  const scale = OVERVIEW_PX / Math.max(width, height);
  box.style.width = `${Math.max(30, Math.round(width * scale))}px`;
  box.style.height = `${Math.max(30, Math.round(height * scale))}px`;
  return box;
}

/**
 * Keep OpenSeadragon from adding a style element, which the content-security policy forbids: it adds none where one
 * of this name is, and outside HTML's namespace the name styles nothing.
 */
function withoutInlineStyle() {
  if (document.querySelector("style[data-openseadragon-mobile-css]")) return;
  const stand = document.createElementNS("urn:miso", "style");
  stand.setAttribute("data-openseadragon-mobile-css", "true");
  document.head.append(stand);
}
