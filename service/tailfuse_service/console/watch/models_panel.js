// The loaded models with their versions and roles; with an admin key, they are promoted, unloaded and loaded.

import { isolate, replaceContent } from "../element.js";
import { Problem } from "../requests.js";
import { readShadow } from "./model_figures.js";

const MAX_PAIRS = 10; // of labels upon which a shadow disagrees

/**
 * @typedef {import("../types.d.ts").App} App
 * @typedef {import("./exposition.js").Exposition} Exposition
 * @typedef {{ name: string, versions: { version: string, role: string }[], waiting?: string[] }} Model
 * @typedef {{ path: string, name: string | null, version: string | null, problem: string | null, unloaded: boolean }} BundleEntry
 * @typedef {{ models: Model[], bundles?: BundleEntry[] }} State
 */

export class ModelsPanel {
  #app; #list; #shadows; #message;
  #isAdmin = false;
  #drawn = "";
  /** @type {Model[]} */
  #models = [];

  /** @param {App} app */
  constructor(app) {
    const { element } = app;
    this.#app = app;
    this.#list = element("div");
    this.#shadows = element("div");
    this.#message = element("p", { role: "status" });
    this.node = element("section", {}, element("h3", {}, "Models"), this.#list, this.#shadows,
      element("button", { type: "button", onclick: () => void this.#manage() }, "Promote, load, unload…"), this.#message);
  }

  /** Read the state again, and show it if it has changed. */
  async refresh() {
    this.#draw(/** @type {State} */ (await this.#app.request(this.#isAdmin ? "/admin/models" : "/models")));
  }

  /** Show what the shadows disagree upon. @param {Exposition} exposition */
  showShadows(exposition) {
    const shadows = this.#models.flatMap(({ name, versions }) =>
      versions.filter(({ role }) => role === "shadow").map(({ version }) => ({ model: name, version })));
    this.#shadows.replaceChildren(...shadows.map((each) => this.#describeShadow(exposition, each)));
  }

  async #manage() {
    await this.#attempt("", async () => {
      this.#isAdmin = true;
      await this.refresh();
    });
  }

  /** @param {string} done @param {() => Promise<unknown>} act */
  async #attempt(done, act) {
    try {
      await act();
      this.#message.textContent = done;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#message.textContent = error.message;
      if (error.status === 401 || error.status === 403) this.#isAdmin = false;
      // Without a key, 403 means that the service has no admin keys: no key would help.
      if (error.status === 403 && this.#app.hasKey() && (await this.#app.askKey(error.message))) await this.#manage();
    }
  }

  /** @param {State} state */
  #draw(state) {
    const drawn = JSON.stringify(state.models.map(({ name, versions, waiting }) =>
      [name, waiting, versions.map(({ version, role }) => [version, role])])) + JSON.stringify(state.bundles);
    if (drawn === this.#drawn) return; // the focus stays where it is
    this.#drawn = drawn;
    this.#models = state.models;
    const { element } = this.#app;
    const rows = state.models.flatMap((model) => model.versions.map((version) => this.#makeRow(model, version)));
    const head = ["Model", "Version", "Role", ...(this.#isAdmin ? ["Change"] : [])];
    replaceContent(this.#list,
      element("table", {}, element("caption", { class: "unseen" }, "Loaded models"),
        element("thead", {}, element("tr", {}, ...head.map((title) => element("th", { scope: "col" }, title)))),
        element("tbody", {}, ...rows)),
      ...(state.bundles ?? []).filter((each) => each.unloaded || each.problem).map((each) => this.#makeBundle(each)));
  }

  /** @param {Model} model @param {{ version: string, role: string }} version */
  #makeRow({ name }, { version, role }) {
    const { element } = this.#app;
    const what = `version ${version} of ${name}`;
    const button = (/** @type {string} */ verb, /** @type {() => Promise<unknown>} */ act) => element("button", {
      type: "button", "aria-label": `${verb} ${what}`,
      onclick: () => confirm(`${verb} ${what}?`) && void this.#attempt(`${verb}: ${what} is done.`, act),
    }, verb);
    const promote = button("Promote", () => this.#change(`/admin/models/${encodeURIComponent(name)}/promote`, { version }));
    const unload = button("Unload", () => this.#change("/admin/unload", { name, version }));
    return element("tr", {}, element("td", {}, name), element("td", {}, version), element("td", {}, role),
      this.#isAdmin ? element("td", {}, role === "stable" ? null : promote, " ", unload) : null);
  }

  /** @param {BundleEntry} entry */
  #makeBundle({ path, problem }) {
    const { element } = this.#app;
    const load = () => void this.#attempt(`Load: ${path} is done.`, () => this.#change("/admin/load", { path }));
    return element("p", {}, ...isolate`${path}: ${problem ?? "unloaded"} `,
      element("button", { type: "button", "aria-label": `Load ${path}`, onclick: load }, "Load"));
  }

  /** @param {string} path @param {object} body */
  async #change(path, body) {
    await this.#app.request(path, { method: "POST", body: JSON.stringify(body) });
    await this.refresh();
  }

  /** @param {Exposition} exposition @param {{ model: string, version: string }} version */
  #describeShadow(exposition, version) {
    const { element } = this.#app;
    const { outcomes, pairs } = readShadow(exposition, version);
    const help = exposition.get("tailfuse_shadow_samples_total")?.help ?? "";
    const counts = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(", ") || "none yet";
    return element("div", {}, element("h4", {}, ...isolate`Shadow ${version.model} ${version.version}`),
      element("p", {}, help, " ", element("strong", {}, counts)),
      element("ul", {}, ...pairs.slice(0, MAX_PAIRS).map(({ label, shadow, count }) =>
        element("li", {}, ...isolate`${label} → ${shadow}: ${count}`))));
  }
}
