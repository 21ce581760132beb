// Try: one sample, and what the model answers.

/** @type {import("../types.d.ts").Mount} */
export function mount(root, app) {
  root.append(app.element("h2", {}, `Try ${app.model.name}`));
  return () => {};
}
