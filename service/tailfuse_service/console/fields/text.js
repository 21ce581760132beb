// The field of a text, of one column or several.

import { element, makeId } from "../element.js";

/** @typedef {import("../types.d.ts").TextModality} TextModality */

/**
 * @param {string} name @param {TextModality} modality @param {(value: unknown) => void} give
 * @returns {import("./field.js").Control}
 */
export function makeTextField(name, modality, give) {
  const areas = modality.columns.map((column) => {
    const problem = element("span", { class: "problem", id: makeId() });
    const area = /** @type {HTMLTextAreaElement} */ (element("textarea", { rows: 3, oninput: giveAll, "aria-label": `${name}: ${column}`, "aria-describedby": problem.id }));
    return { column, area, problem };
  });
  const isSingle = areas.length === 1;

  function giveAll() {
    const given = areas.filter(({ area }) => area.value !== "").map(({ column, area }) => [column, area.value]);
    if (!given.length) give(undefined);
    else give(isSingle ? given[0]?.[1] : Object.fromEntries(given));
  }

  return {
    node: element("div", {}, ...areas.map(({ column, area, problem }) =>
      element("div", {}, isSingle ? null : element("div", { "aria-hidden": "true" }, column), area, problem))),
    show(value) {
      // One text for several columns stands in the first of them.
      const texts = new Map(typeof value === "object" && value ? Object.entries(value) : [[areas[0]?.column, value]]);
      for (const { column, area } of areas) area.value = String(texts.get(column) ?? "");
    },
    mark(column, text) {
      for (const each of areas) {
        each.problem.textContent = each.column === column ? text : "";
        if (each.column === column) each.area.setAttribute("aria-invalid", "true");
        else each.area.removeAttribute("aria-invalid");
      }
      return areas.some((each) => each.column === column);
    },
  };
}
