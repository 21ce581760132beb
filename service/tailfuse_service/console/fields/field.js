// A field: what a user gives one modality, with the service's problem beside it.

import { element, lookUp, makeId } from "../element.js";
import { makeImageField } from "./image.js";
import { makeSeriesField } from "./series.js";
import { makeTabularField } from "./tabular.js";
import { makeTextField } from "./text.js";

/** @typedef {import("../types.d.ts").App} App */
/** @typedef {import("../types.d.ts").Modality} Modality */
/** @typedef {import("../requests.js").Problem} Problem */

/**
 * The inputs of one modality. `show` fills them with a raw value, undefined for none; `mark` puts a problem's
 * text beside a column, and returns whether there is such a column; null clears all marks.
 * @typedef {{
 *   node: HTMLElement,
 *   show: (value: unknown) => void,
 *   mark?: (column: string | null, text: string) => boolean,
 *   take?: (file: File) => void,
 * }} Control
 */

/** @typedef {{ name: string, node: HTMLDetailsElement, show: () => void, setProblem: (problem: Problem | null) => void, take?: (file: File) => void }} Field */

/**
 * Make the field of a modality. It writes what the user gives into the sample.
 * @param {string} name @param {Modality} modality @param {App} app @param {boolean} open
 * @returns {Field}
 */
export function makeField(name, modality, app, open) {
  let own = false; // whether the change of the sample comes from this field, which then shows it already
  const state = element("span", { class: "hint" });
  const problem = element("p", { class: "problem", id: makeId() });
  const control = makeControl(name, modality, app, (value) => {
    own = true;
    app.sample.set(name, value);
    own = false;
    showState();
  });
  const clear = element("button", { type: "button", onclick: () => app.sample.set(name, undefined) }, "Leave out");
  clear.setAttribute("aria-label", `Leave out ${name}`);
  const node = /** @type {HTMLDetailsElement} */ (element("details", { class: "panel field", open },
    element("summary", { "aria-describedby": problem.id }, `${name} `, state), control.node, element("div", { class: "row" }, clear), problem));

  function showState() {
    state.textContent = app.sample.get(name) === undefined ? `${modality.kind}, missing` : modality.kind;
  }

  return {
    name,
    node,
    take: control.take,
    show() {
      if (!own) control.show(app.sample.get(name));
      showState();
    },
    setProblem(found) {
      control.mark?.(null, "");
      const beside = found?.column != null && control.mark?.(found.column, found.message);
      problem.textContent = found && !beside ? found.message : "";
      if (found) node.open = true;
    },
  };
}

/**
 * @param {string} name @param {Modality} modality @param {App} app @param {(value: unknown) => void} give
 * @returns {Control}
 */
function makeControl(name, modality, app, give) {
  switch (modality.kind) {
    case "image": return makeImageField(name, modality, give);
    case "tabular": return makeTabularField(name, modality, lookUp(app.schema.reference, name), give);
    case "text": return makeTextField(name, modality, give);
    case "series": return makeSeriesField(name, modality, give);
  }
}
