/** The viewer: opens the scene, makes its parts and joins them. */

import { fromHash, toHash } from "./address.js";
import { Controls } from "./controls.js";
import { byId, make } from "./dom.js";
import { Genes } from "./genes.js";
import { Hover, mapOf } from "./hover.js";
import { armKeys } from "./keys.js";
import { firstState } from "./layers.js";
import { writeLegends } from "./legend.js";
import { writeLimits } from "./limits.js";
import { MeansCard } from "./means.js";
import { armNotice, tell } from "./notice.js";
import { paint } from "./paint.js";
import { Region } from "./region.js";
import { readable } from "./scale.js";
import { Scales } from "./scales.js";
import { openScene } from "./scene.js";
import { SpotStore } from "./spotstore.js";
import { Stage } from "./stage.js";
import { Tiles } from "./tiles.js";

const ADDRESS_MS = 200;

/** The page's parts and what they do to each other. */
class View {
  /** @param {import("./scene.js").Scene} scene */
  constructor(scene) {
    this.scene = scene;
    const { state, place } = fromHash(location.hash, scene);
    this.state = { ...firstState(scene), ...state };
    this.place = place;
    this.changed = () => this.refresh();
    this.tiles = new Tiles(() => this.#arrived(), tell);
    this.spots = new SpotStore(scene, () => this.#arrived(), tell);
    this.scales = new Scales(scene, this.state, () => this.refresh(), tell);
    this.stage = new Stage(scene, this.state, {
      draw: (pane) => this.#draw(pane),
      lost: tell,
      changed: () => this.#address(),
      moved: () => this.#address(),
      made: (pane) => {
        this.hover?.watch(pane);
        this.region?.watch(pane);
      },
    });
    this.hover = new Hover(this);
    this.means = new MeansCard(
      scene,
      () => mapOf(this.stage.parts(this.stage.active)[0].side, this.state),
      () => this.region?.clear(),
    );
    this.region = new Region(this.stage, {
      closed: (polygon) => this.means.show(polygon),
      cleared: () => this.means.hide(),
    });
    this.controls = new Controls(scene, this.state, () => this.refresh());
    this.genes = new Genes(scene, this.state, (gene) => this.#gene(gene));
  }

  /** Open the slide and show the state. */
  async open() {
    describe(this.scene);
    this.#arm();
    await this.stage.open();
    if (this.place) this.stage.a.go(this.place);
    this.refresh();
  }

  /** Show the state everywhere. */
  refresh() {
    this.controls.show();
    writeLimits(this);
    this.stage.arrange().then(() => {
      for (const pane of this.stage.panes()) writeLegends(pane, this.stage.parts(pane), this);
    });
    this.hover.show();
    this.#address();
  }

  /** @param {import("./pane.js").Pane} pane */
  #draw(pane) {
    paint(pane, this.stage.parts(pane), this);
    const frame = pane.frame();
    if (!frame) return;
    this.region.mark(pane.marks.getContext("2d"), frame);
    this.hover.mark(pane.marks.getContext("2d"), frame);
  }

  #arrived() {
    this.stage.draw();
    this.hover.show();
  }

  /** @param {string} gene */
  #gene(gene) {
    if (gene !== this.state.gene)
      this.state.limits = Object.fromEntries(Object.entries(this.state.limits).filter(([key]) => key === "n"));
    this.state.gene = gene;
    this.refresh();
  }

  /** Write the state into the address, a little later. */
  #address() {
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      if (this.stage.a.frame()) history.replaceState(null, "", `#${toHash(this.state, this.stage.a.place())}`);
    }, ADDRESS_MS);
  }

  /** Take the state of an address that was typed in. */
  #readAddress() {
    const { state, place } = fromHash(location.hash, this.scene);
    Object.assign(this.state, state);
    this.genes.show();
    if (place) this.stage.a.go(place);
    this.refresh();
  }

  #arm() {
    const { controls, stage, genes, region } = this;
    const zoom = (/** @type {number} */ times) => () => stage.active.zoomBy(times);
    const pan = (/** @type {number} */ across, /** @type {number} */ down) => () => stage.active.panBy(across, down);
    const help = () => byId("help").showModal();
    const home = () => stage.active.home();
    const mapped = this.scene.maps.length > 0;
    byId("zoom-in").addEventListener("click", zoom(1.5));
    byId("zoom-out").addEventListener("click", zoom(1 / 1.5));
    byId("home").addEventListener("click", home);
    byId("help-open").addEventListener("click", help);
    byId("regions").hidden = !mapped;
    byId("panel-toggle").addEventListener("click", () => {
      const shown = !document.body.classList.toggle("narrow");
      byId("panel-toggle").setAttribute("aria-expanded", String(shown));
    });
    window.addEventListener("hashchange", () => this.#readAddress());
    armKeys({
      "+": zoom(1.5),
      "=": zoom(1.5),
      "-": zoom(1 / 1.5),
      0: home,
      ArrowLeft: pan(-0.1, 0),
      ArrowRight: pan(0.1, 0),
      ArrowUp: pan(0, -0.1),
      ArrowDown: pan(0, 0.1),
      "/": () => genes.input.focus(),
      n: () => genes.step(1),
      p: () => genes.step(-1),
      "[": () => controls.fade(-0.1),
      "]": () => controls.fade(0.1),
      m: () => controls.toggleMap(),
      s: () => controls.toggleSpots(),
      w: () => controls.nextMode(),
      i: () => this.hover.readCenter(),
      "?": help,
      r: () => mapped && region.take(region.tool ? "" : "polygon"),
      Enter: () => region.finish(),
      Escape: () => region.cancel(),
    });
  }
}

/** Say what the slide and its maps are. @param {import("./scene.js").Scene} scene */
function describe({ slide, maps, version }) {
  document.title = `${slide.name}, MISO viewer`;
  byId("slide-name").textContent = slide.name;
  byId("slide-about").textContent =
    `${slide.width} × ${slide.height} px, ${readable(slide.mpp)} µm/px (${slide.mpp_source})`;
  byId("version").textContent = `miso ${version}`;
  byId("about").hidden = !maps.length;
  byId("about-maps").replaceChildren(
    ...maps.flatMap((map) => [
      make("b", { text: map.name }),
      make("dl", {}, ...aboutOf(map).flatMap(([label, text]) => [make("dt", { text: label }), make("dd", { text })])),
    ]),
  );
}

/** @param {import("./scene.js").MapInfo} map @returns {[string, string][]} */
function aboutOf(map) {
  const novelty =
    map.slide_novelty === null
      ? []
      : [/** @type {[string, string]} */ (["novelty of the slide", readable(map.slide_novelty)])];
  return [
    ["cells", `${map.shape[0]} × ${map.shape[1]} of ${readable(map.pitch_um)} µm`],
    ["units", map.units],
    ...novelty,
    ...map.about,
  ];
}

armNotice();
try {
  const view = new View(await openScene());
  await view.open();
  document.documentElement.dataset.ready = "yes";
} catch (error) {
  tell(`The viewer could not open: ${/** @type {Error} */ (error).message}`);
  throw error;
}
