/** The panel: what each side shows, how the view is laid out, opacity and colours. */

import { byId, fill } from "./dom.js";
import { PLANES, canShare } from "./layers.js";

const NONE = "none";

/** The controls of the panel; they are absent where the scene has nothing for them. */
export class Controls {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {import("./layers.js").State} state
   * @param {() => void} changed
   */
  constructor(scene, state, changed) {
    this.scene = scene;
    this.state = state;
    this.changed = changed;
    for (const name of /** @type {("a"|"b")[]} */ (["a", "b"])) this.#arm(name);
    for (const radio of document.querySelectorAll("input[name=mode]")) {
      radio.addEventListener("change", () => this.set({ mode: /** @type {HTMLInputElement} */ (radio).value }));
    }
    byId("opacity").addEventListener("input", () => this.set({ opacity: Number(byId("opacity").value) / 100 }));
    byId("log").addEventListener("change", () => this.set({ log: byId("log").value === "log" }));
    byId("colors").addEventListener("change", () => this.set({ colors: byId("colors").value }));
    byId("shared").addEventListener("change", () => this.set({ shared: byId("shared").checked }));
    byId("show-map").addEventListener("change", () => this.set({ hideMap: !byId("show-map").checked }));
    byId("show-spots").addEventListener("change", () => this.toggleSpots(byId("show-spots").checked));
    const any = scene.maps.length + scene.samples.length > 0;
    for (const id of ["layout", "sides", "looks"]) byId(id).hidden = !any;
  }

  /** @param {Partial<import("./layers.js").State>} change */
  set(change) {
    Object.assign(this.state, change);
    this.changed();
  }

  /** Show the maps, or hide them. */
  toggleMap() {
    if (this.scene.maps.length) this.set({ hideMap: !this.state.hideMap });
  }

  /** Show spots, or hide them; with none chosen the first sample is. @param {boolean} [on] */
  toggleSpots(on = !this.#spotsShown()) {
    if (!this.scene.samples.length) return;
    const { a, b, mode } = this.state;
    if (on && a.spots === null && (mode === "one" || b.spots === null)) a.spots = 0;
    this.set({ hideSpots: !on });
  }

  /** Go round the layouts. */
  nextMode() {
    const modes = ["one", "swipe", "side"];
    if (this.scene.maps.length + this.scene.samples.length)
      this.set({ mode: modes[(modes.indexOf(this.state.mode) + 1) % 3] });
  }

  /** @param {number} by */
  fade(by) {
    this.set({ opacity: Math.round(100 * Math.min(1, Math.max(0, this.state.opacity + by))) / 100 });
  }

  /** Show the state. */
  show() {
    const { scene, state } = this;
    for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=mode]")))
      radio.checked = radio.value === state.mode;
    this.#side("a");
    this.#side("b");
    byId("side-b").hidden = state.mode === "one";
    byId("side-a-title").textContent = { one: "Layers", swipe: "Left of the divider", side: "Left" }[state.mode] ?? "";
    byId("side-b-title").textContent = state.mode === "swipe" ? "Right of the divider" : "Right";
    byId("opacity").value = String(Math.round(100 * state.opacity));
    byId("opacity-value").textContent = `${Math.round(100 * state.opacity)} %`;
    byId("log").value = state.log ? "log" : "linear";
    fill(
      byId("colors"),
      Object.keys(scene.colormaps).map((name) => [name, name]),
      state.colors,
    );
    byId("shared").checked = state.shared;
    byId("shared-row").hidden = !canShare(scene);
    byId("show-map").checked = !state.hideMap;
    byId("show-map-row").hidden = !scene.maps.length;
    byId("show-spots").checked = this.#spotsShown();
    byId("show-spots-row").hidden = !scene.samples.length;
  }

  #spotsShown() {
    const { a, b, mode, hideSpots } = this.state;
    return !hideSpots && (a.spots !== null || (mode !== "one" && b.spots !== null));
  }

  /** @param {"a"|"b"} name */
  #arm(name) {
    const pick = (/** @type {string} */ part, /** @type {(value: string) => any} */ apply) =>
      byId(`${name}-${part}`).addEventListener("change", () => {
        apply(byId(`${name}-${part}`).value);
        this.changed();
      });
    const index = (/** @type {string} */ value) => (value === NONE ? null : Number(value));
    pick("map", (value) => {
      this.state[name].map = index(value);
      this.state.hideMap = false;
    });
    pick("plane", (value) => (this.state[name].plane = value));
    pick("spots", (value) => {
      this.state[name].spots = index(value);
      this.state.hideSpots = false;
    });
  }

  /** @param {"a"|"b"} name */
  #side(name) {
    const { scene } = this;
    const side = this.state[name];
    const none = /** @type {[string, string]} */ ([NONE, "none"]);
    fill(
      byId(`${name}-map`),
      [
        none,
        ...scene.maps.map(
          (map, i) => /** @type {[string, string]} */ ([String(i), `${map.name} (${map.pitch_um.toPrecision(2)} µm)`]),
        ),
      ],
      String(side.map ?? NONE),
    );
    fill(
      byId(`${name}-spots`),
      [
        none,
        ...scene.samples.map(({ name, kind }, i) => /** @type {[string, string]} */ ([String(i), `${name} (${kind})`])),
      ],
      String(side.spots ?? NONE),
    );
    const info = scene.maps[side.map ?? 0];
    const has = /** @type {Object<string, boolean>} */ ({ v: true, s: info?.has_std, n: info?.has_novelty });
    if (info && !has[side.plane]) side.plane = "v";
    fill(
      byId(`${name}-plane`),
      [...PLANES].filter(([plane]) => has[plane]),
      side.plane,
    );
    byId(`${name}-map-row`).hidden = !scene.maps.length;
    byId(`${name}-plane-row`).hidden = side.map === null || !(info?.has_std || info?.has_novelty);
    byId(`${name}-spots-row`).hidden = !scene.samples.length;
  }
}
