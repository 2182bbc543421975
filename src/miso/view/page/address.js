/** The state as the address says it, after the #, so that a view can be shared; what does not fit is ignored. */

import { PLANES } from "./layers.js";

const MODES = ["one", "swipe", "side"];

/**
 * @typedef {import("./layers.js").State} State
 * @typedef {import("./layers.js").Side} Side
 * @typedef {{x: number, y: number, zoom: number}} Place centre in level-0 px; CSS pixels a level-0 px
 */

/** @param {number|null} index */
const said = (index) => (index === null ? "" : String(index));

/** @param {Side} side @returns {string} such as "0v.1": map, plane and spots */
const sideText = ({ map, plane, spots }) => `${said(map)}${plane}.${said(spots)}`;

/**
 * @param {State} state
 * @param {Place} place
 * @returns {string} without the #
 */
export function toHash(state, { x, y, zoom }) {
  const hidden = `${state.hideMap ? "m" : ""}${state.hideSpots ? "s" : ""}`;
  const limits = Object.entries(state.limits)
    .map(([key, [low, high]]) => `${key}:${low}:${high}`)
    .join(",");
  return new URLSearchParams({
    x: x.toFixed(1),
    y: y.toFixed(1),
    zoom: zoom.toPrecision(5),
    ...(state.gene === null ? {} : { gene: state.gene }),
    a: sideText(state.a),
    b: sideText(state.b),
    mode: state.mode,
    opacity: String(state.opacity),
    scale: state.log ? "log" : "linear",
    colors: state.colors,
    divider: state.divider.toFixed(3),
    ...(limits ? { limits } : {}),
    ...(hidden ? { hidden } : {}),
    ...(state.shared ? { shared: "1" } : {}),
  }).toString();
}

/**
 * @param {string} hash with or without the #
 * @param {import("./scene.js").Scene} scene
 * @returns {{state: Partial<State>, place: Place|null}}
 */
export function fromHash(hash, scene) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Partial<State>} */
  const state = {};
  const text = (/** @type {string} */ name) => said.get(name) ?? "";
  if (scene.genes.includes(text("gene"))) state.gene = text("gene");
  if (MODES.includes(text("mode"))) state.mode = text("mode");
  if (Object.hasOwn(scene.colormaps, text("colors"))) state.colors = text("colors");
  if (["log", "linear"].includes(text("scale"))) state.log = text("scale") === "log";
  for (const name of /** @type {("opacity"|"divider")[]} */ (["opacity", "divider"])) {
    if (said.has(name) && Number(text(name)) >= 0 && Number(text(name)) <= 1) state[name] = Number(text(name));
  }
  for (const name of /** @type {("a"|"b")[]} */ (["a", "b"])) {
    const side = sideFrom(text(name), scene);
    if (side) state[name] = side;
  }
  if (said.has("limits")) state.limits = limitsFrom(text("limits"));
  if (said.has("mode"))
    Object.assign(state, {
      hideMap: text("hidden").includes("m"),
      hideSpots: text("hidden").includes("s"),
      shared: text("shared") === "1",
    });
  const [x, y, zoom] = ["x", "y", "zoom"].map((name) => Number(said.get(name) ?? NaN));
  const place = Number.isFinite(x) && Number.isFinite(y) && zoom > 0 && zoom < 1e4 ? { x, y, zoom } : null;
  return { state, place };
}

/** @param {string} text @param {import("./scene.js").Scene} scene @returns {Side|null} */
function sideFrom(text, scene) {
  const found = /^(\d*)([vsn])\.(\d*)$/.exec(text);
  if (!found || !PLANES.has(found[2])) return null;
  const index = (/** @type {string} */ digits, /** @type {any[]} */ list) =>
    digits !== "" && Number(digits) < list.length ? Number(digits) : null;
  return { map: index(found[1], scene.maps), plane: found[2], spots: index(found[3], scene.samples) };
}

/** @param {string} text @returns {Object<string, [number, number]>} */
function limitsFrom(text) {
  const parts = text.split(",").map((part) => part.split(":"));
  const good = parts.filter(
    ([key, low, high]) => /^([vsp]\d+|n)$/.test(key) && low !== "" && high !== "" && Number(low) < Number(high),
  );
  return Object.fromEntries(good.map(([key, low, high]) => [key, [Number(low), Number(high)]]));
}
