// The theme puts each table into a frame that scrolls where it is wider than its window: the keyboard must reach it.
function makeTablesFocusable() {
  for (const frame of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Table");
  }
}

new MutationObserver(makeTablesFocusable).observe(document.body, { childList: true, subtree: true });
makeTablesFocusable();
