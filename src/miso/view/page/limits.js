/** The limits of the colour scales on show, as numbers one can type, and back to percentiles 1 to 99. */

import { byId, make } from "./dom.js";
import { unitsOf } from "./layers.js";

/**
 * Write a row of limits a scale; a row that is being typed in is left alone.
 * @param {{scene: import("./scene.js").Scene, state: import("./layers.js").State, scales: import("./scales.js").Scales,
 *   changed: () => void}} app
 */
export function writeLimits(app) {
  const box = byId("limits");
  const layers = [...new Map(app.scales.shown().map((layer) => [layer.key, layer])).values()];
  const keys = layers.map(({ key }) => key).join(" ");
  if (box.dataset.keys !== keys) {
    box.replaceChildren(...layers.map((layer) => row(layer, app)));
    box.dataset.keys = keys;
  }
  for (const { key } of layers) {
    const limits = app.state.limits[key] ?? app.scales.automatic(key);
    /** @type {HTMLInputElement[]} */ (["low", "high"].map((end) => byId(`${end}-${key}`))).forEach((input, i) => {
      if (document.activeElement !== input) input.value = limits ? String(Number(limits[i].toPrecision(4))) : "";
    });
    byId(`reset-${key}`).disabled = !app.state.limits[key];
  }
}

/** @param {import("./layers.js").Layer} layer @param {any} app */
function row(layer, app) {
  const { key, kind, plane } = layer;
  const what =
    kind === "spots" && key[0] === "p"
      ? `spots ${app.scene.samples[layer.index].name}`
      : { v: "expression", s: "spread", n: "novelty" }[plane];
  const box = (/** @type {string} */ end, /** @type {string} */ label) =>
    make("input", {
      id: `${end}-${key}`,
      type: "number",
      step: "any",
      "aria-label": `${label} limit of ${what}`,
      on: { change: () => take(key, app) },
    });
  const reset = () => {
    delete app.state.limits[key];
    app.changed();
  };
  return make(
    "div",
    { class: "limit", role: "group", "aria-label": `limits of ${what}` },
    make("span", { class: "name", text: `limits of ${what}`, title: unitsOf(app.scene, layer) }),
    box("low", "lower"),
    "–",
    box("high", "upper"),
    make("button", {
      id: `reset-${key}`,
      type: "button",
      text: "reset",
      title: "back to those of the data: percentiles 1 to 99, of novelty 0 to 1 or more",
      on: { click: reset },
    }),
  );
}

/** @param {string} key @param {any} app */
function take(key, app) {
  const [low, high] = ["low", "high"].map((end) => byId(`${end}-${key}`));
  const [from, to] = [low.valueAsNumber, high.valueAsNumber];
  const good = Number.isFinite(from) && Number.isFinite(to) && from < to;
  for (const input of [low, high])
    input.setCustomValidity(good ? "" : "The lower limit must be a number below the upper one.");
  if (!good) {
    high.reportValidity();
    return;
  }
  app.state.limits[key] = [from, to];
  app.changed();
}
