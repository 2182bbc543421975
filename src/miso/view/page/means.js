/** The means of a region: asked of the server, shown as a table that sorts and filters, saved as files. */

import { byId, make, save } from "./dom.js";
import { area } from "./region.js";
import { readable } from "./scale.js";
import { csv, geojson } from "./tabletext.js";

const ROWS = 500;
const COLUMNS = /** @type {const} */ (["gene", "mean", "grade"]);

/** The card with the table. */
export class MeansCard {
  /** @param {import("./scene.js").Scene} scene @param {() => number|null} mapOnShow @param {() => void} closed */
  constructor(scene, mapOnShow, closed) {
    this.scene = scene;
    this.mapOnShow = mapOnShow;
    /** @type {import("./tabletext.js").Means|null} */
    this.means = null;
    this.order = { by: "gene", up: true };
    this.asked = 0;
    this.card = byId("means");
    byId("means-filter").addEventListener("input", () => this.#table());
    byId("means-close").addEventListener("click", closed);
    const file = (/** @type {string} */ end) => `${scene.slide.name.replace(/[^\w.-]+/g, "_")}-region.${end}`;
    byId("means-csv").addEventListener("click", () => this.means && save(file("csv"), "text/csv", csv(this.means)));
    byId("means-geojson").addEventListener(
      "click",
      () => this.means && save(file("geojson"), "application/geo+json", geojson(this.means)),
    );
    for (const column of COLUMNS) byId(`sort-${column}`).addEventListener("click", () => this.#sort(column));
  }

  /** Ask for the means of a region and show them. @param {import("./region.js").Polygon} polygon */
  async show(polygon) {
    const asked = ++this.asked;
    const index = this.mapOnShow() ?? 0;
    const map = this.scene.maps[index];
    const { mpp } = this.scene.slide;
    this.means = {
      slide: this.scene.slide.name,
      map: map.name,
      units: map.units,
      area_um2: area(polygon) * mpp ** 2,
      covered: null,
      polygon,
      rows: [],
    };
    this.card.hidden = false;
    byId("means-title").textContent = `Region, means of map ${map.name}`;
    if (!this.scene.live)
      return this.#say(
        "Means need the live viewer: open this slide and map with `miso view`. The outline can be saved as GeoJSON.",
      );
    this.#say("Asking for the means …");
    try {
      const found = await ask({ map: index, polygon });
      if (asked !== this.asked) return;
      const grades = this.scene.grades[index];
      this.means.area_um2 = found.area_um2;
      this.means.covered = found.covered;
      this.means.rows = map.genes.map((gene, i) => ({ gene, mean: found.means[i], grade: grades.get(gene) ?? "" }));
      this.#say("");
    } catch (error) {
      if (asked === this.asked) this.#say(/** @type {Error} */ (error).message);
    }
  }

  /** Close the card. */
  hide() {
    this.asked++;
    this.means = null;
    this.card.hidden = true;
  }

  /** @param {string} text */
  #say(text) {
    const { means } = this;
    if (!means) return;
    const size = means.area_um2 >= 1e5 ? `${readable(means.area_um2 / 1e6)} mm²` : `${readable(means.area_um2)} µm²`;
    const seen = means.covered === null ? "" : `, ${Math.round(100 * means.covered)} % of it seen by the map`;
    byId("means-size").textContent = `${size}${seen}; means in ${means.units}`;
    byId("means-say").textContent = text;
    byId("means-say").hidden = !text;
    byId("means-rows").hidden = !means.rows.length;
    byId("means-csv").disabled = !means.rows.length;
    this.#table();
  }

  /** @param {typeof COLUMNS[number]} column */
  #sort(column) {
    this.order = { by: column, up: this.order.by === column ? !this.order.up : column !== "mean" };
    this.#table();
  }

  #table() {
    const sought = byId("means-filter").value.trim().toLowerCase();
    const { by, up } = this.order;
    const all = (this.means?.rows ?? []).filter(({ gene }) => gene.toLowerCase().includes(sought));
    const rank = (/** @type {any} */ row) => (by === "mean" ? (row.mean ?? -Infinity) : row[by]);
    all.sort((p, q) => (up ? 1 : -1) * (rank(p) < rank(q) ? -1 : rank(p) > rank(q) ? 1 : 0));
    for (const column of COLUMNS)
      byId(`sort-${column}`).parentElement.setAttribute(
        "aria-sort",
        by !== column ? "none" : up ? "ascending" : "descending",
      );
    byId("means-body").replaceChildren(
      ...all
        .slice(0, ROWS)
        .map(({ gene, mean, grade }) =>
          make(
            "tr",
            { class: grade === "C" || grade === "D" ? "low" : "" },
            make("th", { scope: "row", text: gene }),
            make("td", { text: readable(mean) }),
            make("td", { text: grade }),
          ),
        ),
    );
    byId("means-more").textContent =
      all.length > ROWS ? `The first ${ROWS} of ${all.length} are shown; filter to see others. The CSV holds all.` : "";
  }
}

/**
 * @param {{map: number, polygon: [number, number][]}} region
 * @returns {Promise<{area_um2: number, covered: number, means: (number|null)[]}>}
 */
async function ask(region) {
  let response;
  try {
    response = await fetch("regions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(region),
    });
  } catch (error) {
    throw new Error("Could not reach the server for the means. Is it still running?", { cause: error });
  }
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let said = text;
  try {
    said = JSON.parse(text).error ?? text;
  } catch {
    // a plain line, shown as it is
  }
  throw new Error(`The means could not be had (${response.status}): ${said}`);
}
