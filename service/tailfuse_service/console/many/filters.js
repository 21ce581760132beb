// The fields that choose which answers are shown.

import { makeId } from "../element.js";

/**
 * Create the fields. `onChange` is called after each change of the filter.
 * @param {import("../types.d.ts").App} app @param {string[]} classes
 * @param {import("./results.js").Filter} filter @param {() => void} onChange
 */
export function makeFilters({ element }, classes, filter, onChange) {
  const list = makeId();
  /** @param {string} title @param {import("../types.d.ts").Props} props @param {(input: HTMLInputElement) => void} set */
  const field = (title, props, set) => {
    const input = /** @type {HTMLInputElement} */ (element("input", props));
    input.addEventListener("input", () => {
      set(input);
      onChange();
    });
    return element("label", {}, `${title} `, input);
  };
  const share = { type: "number", min: 0, max: 1, step: "any" };
  const number = (/** @type {HTMLInputElement} */ input, /** @type {number} */ otherwise) =>
    Number.isNaN(input.valueAsNumber) ? otherwise : input.valueAsNumber;
  return element("fieldset", { class: "filters" }, element("legend", {}, "Show only"),
    field("Label contains", { type: "search", list }, (input) => (filter.label = input.value)),
    element("datalist", { id: list }, ...classes.map((name) => element("option", { value: name }))),
    field("Probability from", share, (input) => (filter.minConfidence = number(input, 0))),
    field("to", share, (input) => (filter.maxConfidence = number(input, 1))),
    field("Conflict from", share, (input) => (filter.minConflict = number(input, 0))),
    field("Rows with a problem", { type: "checkbox" }, (input) => (filter.onlyProblems = input.checked)));
}
