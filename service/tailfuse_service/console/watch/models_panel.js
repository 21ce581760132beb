// The loaded models with their versions and roles; with an admin key, they are promoted, unloaded and loaded.

import { formatShare, isolate, replaceContent } from "../element.js";
import { Problem } from "../requests.js";
import { makeVersions } from "./versions_table.js";

/**
 * @typedef {import("../types.d.ts").App} App
 * @typedef {import("./exposition.js").Exposition} Exposition
 * @typedef {{ version: string, share: number }} SharedRole
 * @typedef {{ stable: string | null, canary: SharedRole | null, shadow: SharedRole | null }} Roles
 * @typedef {{ version: string, role: string }} Version
 * @typedef {{ name: string, versions: Version[], waiting?: string[], roles?: Roles }} Model with an admin key, all of it
 * @typedef {{ path: string, name: string | null, version: string | null, problem: string | null, unloaded: boolean }} BundleEntry
 * @typedef {{ models: Model[], bundles?: BundleEntry[] }} State
 */

export class ModelsPanel {
  #app; #list; #versions; #message;
  #isAdmin = false;
  #drawn = "";
  /** @type {Model[]} */
  #models = [];

  /** @param {App} app */
  constructor(app) {
    const { element } = app;
    this.#app = app;
    this.#list = element("div");
    this.#versions = element("div", { class: "scroll", role: "region", "aria-label": "Versions and their roles", tabindex: 0, hidden: true });
    this.#message = element("p", { role: "status" });
    this.node = element("section", {}, element("h3", {}, "Models"), this.#list, this.#versions,
      element("button", { type: "button", onclick: () => void this.#manage() }, "Promote, load, unload…"), this.#message);
  }

  /** Read the state again, and show it if it has changed. */
  async refresh() {
    this.#draw(/** @type {State} */ (await this.#app.request(this.#isAdmin ? "/admin/models" : "/models")));
  }

  /** Show the versions of each model beside each other. @param {Exposition} before @param {Exposition} now */
  showVersions(before, now) {
    const tables = this.#models.map(({ name, versions }) => makeVersions(before, now, name, versions)).filter((each) => each !== null);
    this.#versions.hidden = tables.length === 0;
    this.#versions.replaceChildren(...tables);
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
    const drawn = JSON.stringify(state.models.map(({ name, versions, waiting, roles }) =>
      [name, waiting, roles, versions.map(({ version, role }) => [version, role])])) + JSON.stringify(state.bundles);
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
      ...state.models.flatMap((model) => (model.waiting ?? []).map((version) => this.#makeWaiting(model, version))),
      ...(state.bundles ?? []).filter((each) => each.unloaded || each.problem).map((each) => this.#makeBundle(each)));
  }

  /** @param {Model} model @param {Version} version */
  #makeRow({ name, roles }, { version, role }) {
    const { element } = this.#app;
    const what = `version ${version} of ${name}`;
    const promote = this.#makeButton("Promote", what, `/admin/models/${encodeURIComponent(name)}/promote`, { version });
    const unload = this.#makeButton("Unload", what, "/admin/unload", { name, version });
    return element("tr", {}, element("td", {}, name), element("td", {}, version),
      element("td", {}, describeRole(role, roles)),
      this.#isAdmin ? element("td", {}, role === "stable" ? null : promote, " ", unload) : null);
  }

  /** @param {Model} model @param {string} version */
  #makeWaiting({ name, roles }, version) {
    const role = ["stable", "canary", "shadow"].find((each) => readAssigned(each, roles).version === version) ?? "";
    return this.#app.element("p", {}, this.#app.element("strong", {}, "waiting"),
      ...isolate`: version ${version} of ${name} is the ${describeRole(role, roles)}, and is not loaded`);
  }

  /** @param {BundleEntry} entry */
  #makeBundle({ path, problem }) {
    return this.#app.element("p", {}, ...isolate`${path}: ${problem ?? "unloaded"} `,
      this.#makeButton("Load", path, "/admin/load", { path }));
  }

  /**
   * Make the button of an admin call. It asks before it acts.
   * @param {string} verb @param {string} what @param {string} path @param {object} body
   */
  #makeButton(verb, what, path, body) {
    const act = () => confirm(`${verb} ${what}?`) && void this.#attempt(`${verb}: ${what} is done.`, () => this.#change(path, body));
    return this.#app.element("button", { type: "button", "aria-label": `${verb} ${what}`, onclick: act }, verb);
  }

  /** @param {string} path @param {object} body */
  async #change(path, body) {
    await this.#app.request(path, { method: "POST", body: JSON.stringify(body) });
    await this.refresh();
  }
}

/** Return the version that has a role, and its share. @param {string} role @param {Roles | undefined} roles */
function readAssigned(role, roles) {
  const assigned = roles?.[/** @type {keyof Roles} */ (role)];
  return typeof assigned === "string" ? { version: assigned, share: null } : { version: assigned?.version, share: assigned?.share ?? null };
}

/** Return a role with the share that is assigned to it. @param {string} role @param {Roles | undefined} roles */
function describeRole(role, roles) {
  const { share } = readAssigned(role, roles);
  return share === null ? role : `${role}, share ${formatShare(share)}`;
}
