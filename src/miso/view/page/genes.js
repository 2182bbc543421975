/** The gene that is shown: a search among any number of names, and steps to the previous and the next. */

import { byId, make } from "./dom.js";
import { sidesOf } from "./layers.js";
import { GRADES } from "./scene.js";

export const ROWS = 100;

/**
 * Names that contain a text, those that begin with it first; letters count alike in both cases.
 * @param {string[]} lower the names in lower case
 * @param {string} text
 * @returns {number[]} indices
 */
export function matches(lower, text) {
  const sought = text.trim().toLowerCase();
  if (!sought) return lower.map((_, i) => i);
  const [first, rest] = [[], []].map((list) => /** @type {number[]} */ (list));
  lower.forEach((name, i) => {
    const at = name.indexOf(sought);
    if (at === 0) first.push(i);
    else if (at > 0) rest.push(i);
  });
  first.sort((p, q) => lower[p].length - lower[q].length || p - q);
  return first.concat(rest);
}

/** The search box with its list. */
export class Genes {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {import("./layers.js").State} state
   * @param {(gene: string) => void} picked
   */
  constructor(scene, state, picked) {
    this.scene = scene;
    this.state = state;
    this.picked = picked;
    this.lower = scene.genes.map((gene) => gene.toLowerCase());
    this.input = byId("gene");
    this.list = byId("gene-list");
    this.count = byId("gene-count");
    /** @type {number[]} */
    this.found = [];
    this.at = 0;
    byId("genes").hidden = scene.genes.length === 0;
    this.input.addEventListener("focus", () => {
      this.input.select();
      this.#search("");
    });
    this.input.addEventListener("input", () => this.#search(this.input.value));
    this.input.addEventListener("blur", () => this.show());
    this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.list.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      event.preventDefault();
      const row = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
      if (row) this.#pick(Number(/** @type {HTMLElement} */ (row).dataset.index));
    });
    byId("gene-previous").addEventListener("click", () => this.step(-1));
    byId("gene-next").addEventListener("click", () => this.step(1));
    this.show();
  }

  /** Show the chosen gene, its grade, and no list. */
  show() {
    const { gene } = this.state;
    this.input.value = gene ?? "";
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.count.textContent = `${this.scene.genes.indexOf(gene ?? "") + 1} of ${this.scene.genes.length}`;
    const grade = gene === null ? null : this.scene.grade(gene);
    const line = byId("gene-grade");
    line.textContent = GRADES.get(grade ?? "") ?? "";
    line.classList.toggle("low", grade === "C" || grade === "D");
  }

  /** The gene before or after this one, of those that what is on show has. @param {number} by */
  step(by) {
    const { length } = this.scene.genes;
    const from = this.scene.genes.indexOf(this.state.gene ?? "");
    for (let i = 1; i <= length; i++) {
      const at = (((from + i * by) % length) + length) % length;
      if (this.#onShow(this.scene.genes[at])) return this.#pick(at);
    }
  }

  /** Whether a map on show has the gene, or with no map on show any sample. @param {string} gene */
  #onShow(gene) {
    const maps = sidesOf(this.state).flatMap(({ map }) => (map === null ? [] : [map]));
    return maps.length ? maps.some((map) => this.scene.inMap[map].has(gene)) : true;
  }

  /** @param {number} index */
  #pick(index) {
    this.picked(this.scene.genes[index]);
    this.show();
    this.input.blur();
  }

  /** @param {string} text */
  #search(text) {
    this.found = matches(this.lower, text);
    this.at = text ? 0 : Math.max(0, this.found.indexOf(this.scene.genes.indexOf(this.state.gene ?? "")));
    this.input.setAttribute("aria-expanded", "true");
    this.list.hidden = false;
    this.count.textContent = text
      ? `${this.found.length} of ${this.scene.genes.length} match`
      : `${this.scene.genes.length} genes`;
    this.#rows();
  }

  /** Write the rows about the marked one. */
  #rows() {
    const from = Math.max(0, Math.min(this.at - ROWS / 2, this.found.length - ROWS));
    const rows = this.found.slice(from, from + ROWS).map((index, i) => this.#row(index, from + i === this.at));
    const more = this.found.length - from - rows.length;
    if (!rows.length) rows.push(make("li", { class: "none", text: "no gene of this name" }));
    if (more > 0) rows.push(make("li", { class: "none", text: `${more} more: type to narrow` }));
    this.list.replaceChildren(...rows);
    const marked = this.list.querySelector("[aria-selected=true]");
    marked?.scrollIntoView({ block: "nearest" });
    if (marked) this.input.setAttribute("aria-activedescendant", marked.id);
  }

  /** @param {number} index @param {boolean} marked */
  #row(index, marked) {
    const gene = this.scene.genes[index];
    const grade = this.scene.grade(gene);
    return make(
      "li",
      { role: "option", id: `gene-${index}`, "data-index": index, "aria-selected": String(marked) },
      make("span", { text: gene }),
      grade === "C" || grade === "D" ? make("span", { class: "low", text: `grade ${grade}` }) : null,
      this.scene.maps.length && !this.scene.inMap.some((map) => map.has(gene))
        ? make("span", { class: "soft", text: "spots only" })
        : null,
    );
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key } = event;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[key];
    if (by !== undefined) this.at = Math.min(Math.max(this.at + by, 0), Math.max(this.found.length - 1, 0));
    else if (key === "Enter" && this.found.length) this.#pick(this.found[this.at]);
    else if (key === "Escape") this.input.blur();
    else return;
    event.preventDefault();
    if (by !== undefined) this.#rows();
  }
}
