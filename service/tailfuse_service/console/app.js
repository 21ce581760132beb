// The console: asks for the model, and shows the view that the address names after the "#".

import { element } from "./element.js";
import { Problem, Requests } from "./requests.js";
import { Sample } from "./sample.js";
import { VIEWS } from "./views.js";

/** @typedef {import("./types.d.ts").App} App */

// This module is at …/console/BUILD/app.js; the service's own routes begin two folders above.
const BASE = new URL("../../", import.meta.url);
const view = find("view"), live = find("live"), tabs = find("tabs");
const picker = /** @type {HTMLSelectElement} */ (find("model"));
const requests = new Requests(BASE, askKey);
let unmount = () => {};
let shown = 0; // counts the views shown: one that loads late must not replace a newer one

/** @param {string} id @returns {HTMLElement} */
function find(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Ask for a key in the dialog; null if the user cancels. @param {string} reason @returns {Promise<string | null>} */
function askKey(reason) {
  const dialog = /** @type {HTMLDialogElement} */ (find("key-dialog"));
  const input = /** @type {HTMLInputElement} */ (find("key-input"));
  find("key-reason").textContent = reason;
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const key = input.value.trim();
      input.value = "";
      resolve(dialog.returnValue === "given" && key ? key : null);
    }, { once: true });
  });
}

/** Close the key's dialog by its buttons. */
function prepareKeyDialog() {
  const dialog = /** @type {HTMLDialogElement} */ (find("key-dialog"));
  dialog.querySelector("form")?.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close("given");
  });
  find("key-cancel").addEventListener("click", () => dialog.close());
  find("key").addEventListener("click", async () => {
    if (await requests.ask("Enter a key, or another one.")) await start();
  });
}

/** Say a sentence to screen readers; the same one twice is said twice. @param {string} text */
function announce(text) {
  live.textContent = "";
  setTimeout(() => void (live.textContent = text), 50);
}

/**
 * Return what the views get, for a model; null is the service's default one.
 * @param {{ name: string, version: string } | null} chosen
 * @returns {Promise<App>}
 */
async function makeApp(chosen) {
  const query = chosen ? `?${new URLSearchParams(chosen)}` : "";
  const schema = await requests.send(`/console/model.json${query}`);
  const prefix = chosen
    ? `/models/${encodeURIComponent(chosen.name)}/versions/${encodeURIComponent(chosen.version)}` : "";
  return {
    schema,
    model: { name: schema.name, version: schema.version },
    sample: new Sample(),
    modelPath: (route) => prefix + route,
    request: (path, init) => requests.send(path, init),
    hasKey: () => requests.hasKey,
    askKey: (reason) => requests.ask(reason),
    announce,
    element,
  };
}

/** Fill the list of models. Its first entry sends requests without a version: by the roles of the versions. */
async function listModels() {
  const { default: name, models } = await requests.send("/models");
  picker.replaceChildren(element("option", { value: "" }, `${name ?? "none"} (default)`));
  for (const model of models)
    for (const { version, role } of model.versions) {
      const title = `${model.name} ${version}${role === "none" ? "" : ` (${role})`}`;
      picker.append(element("option", { value: JSON.stringify({ name: model.name, version }) }, title));
    }
}

/** Show the view that the address names. @param {App} app */
async function show(app) {
  const name = location.hash.slice(1);
  const current = VIEWS.find((each) => each.name === name) ?? VIEWS[0];
  if (!current) return;
  const turn = ++shown;
  for (const link of tabs.querySelectorAll("a"))
    if (link.hash === `#${current.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  document.title = `${current.title} · ${app.model.name} · tailfuse`;
  const { mount } = await current.load();
  if (turn !== shown) return;
  unmount();
  const root = element("section", { "aria-label": current.title });
  view.replaceChildren(root);
  unmount = mount(root, app);
}

/** Move the focus to the heading of the view, from where Tab goes through it. */
function focusView() {
  const heading = view.querySelector("h2") ?? view;
  heading.tabIndex = -1;
  heading.focus();
}

let stop = () => {};
let started = 0; // counts the models asked for: one that answers late must not replace a newer one

/** Ask for the model that is chosen, and show it. */
async function start() {
  const chosen = picker.value ? JSON.parse(picker.value) : null;
  const turn = ++started;
  const hadFocus = view.contains(document.activeElement);
  let focus = focusView;
  stop();
  view.inert = true; // what is entered now would be lost with the model that is left
  try {
    const app = await makeApp(chosen);
    if (!picker.options.length) await listModels();
    if (turn !== started) return;
    const onHash = () => void show(app).then(focusView);
    window.addEventListener("hashchange", onHash);
    stop = () => window.removeEventListener("hashchange", onHash);
    await show(app);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (turn !== started) return;
    const again = element("button", { type: "button", onclick: () => void start() }, "Try again");
    view.replaceChildren(element("p", { class: "problem", role: "alert" }, error.message), again);
    focus = () => again.focus();
  } finally {
    if (turn === started) view.inert = false;
  }
  if (turn === started && hadFocus) focus();
}

tabs.append(...VIEWS.map(({ name, title }) => element("a", { href: `#${name}` }, title)));
picker.addEventListener("change", () => void start());
prepareKeyDialog();
await start();
