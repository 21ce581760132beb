// The views, in the order of their tabs. A view is loaded when it is first shown.

/** @typedef {{ name: string, title: string, load: () => Promise<{ mount: import("./types.d.ts").Mount }> }} View */

/** @type {View[]} */
export const VIEWS = [
  { name: "try", title: "Try", load: () => import("./views/try.js") },
  { name: "switch", title: "Switch", load: () => import("./views/switch.js") },
  { name: "damage", title: "Damage", load: () => import("./views/damage.js") },
  { name: "many", title: "Many", load: () => import("./views/many.js") },
  { name: "watch", title: "Watch", load: () => import("./views/watch.js") },
  { name: "about", title: "About", load: () => import("./views/about.js") },
];
