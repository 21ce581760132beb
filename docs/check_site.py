"""Check the built site: nothing is loaded from another host, files are there, and all Markdown became HTML.

`make docs-check` runs it after the strict build, which checks links between pages and their anchors.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {  # attributes whose target a browser loads by itself
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "img": ("src", "srcset"), "input": ("src",),
    "link": ("href",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"),
    "track": ("src",), "video": ("src", "poster"),
}  # fmt: skip
NOT_LOADED = {"canonical", "prev", "next", "alternate"}  # links in the head that name a page
OUTSIDE = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)
STYLE_URL = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)
LEFT_OVER = re.compile(
    r"^(?:[-*] |\d+\. |#+ |\||```)", re.MULTILINE
)  # of a list, a heading, a table or a block


class Page(HTMLParser):
    """The files that a page loads, its links, and the texts of its paragraphs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.paragraphs: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "p":
            self.paragraphs.append("")
        if tag in ("p", "style"):
            self._open = tag
        if tag == "a":
            self.links.append(values.get("href", ""))
        if values.get("rel") not in NOT_LOADED:
            self.loaded += [values[name] for name in LOADING.get(tag, ()) if name in values]
        self.loaded += STYLE_URL.findall(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "p":
            self.paragraphs[-1] += data
        elif self._open == "style":
            self.loaded += STYLE_URL.findall(data)


def find_faults(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the pages and style sheets of a site."""
    for path in sorted(folder.rglob("*.html")):
        page = Page(path.read_text(encoding="utf-8"))
        name = path.relative_to(folder)
        yield from (f"{name}: loads {url}" for url in page.loaded if OUTSIDE.match(url))
        if name.parts[0] != "source" and name.name != "404.html":
            yield from (f"{name}: there is no {url}" for url in page.links if is_broken(path, url))
            yield from (f"{name}: not HTML: {each}" for each in page.paragraphs if LEFT_OVER.search(each))
    for path in sorted(folder.rglob("*.css")):
        urls = STYLE_URL.findall(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(folder)}: loads {url}" for url in urls)


def is_broken(page: Path, url: str) -> bool:
    """Return whether a link of a page is to a file that the site does not have."""
    parts = urlsplit(url)
    return not parts.scheme and not parts.netloc and not (page.parent / unquote(parts.path)).exists()


def main() -> None:
    """Check the folder that is named. The exit status is 1 if there are faults."""
    folder = Path(sys.argv[1])
    pages = list(folder.rglob("*.html"))
    faults = list(find_faults(folder))
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults or not pages:
        sys.exit(f"{folder}: {len(faults)} faults in {len(pages)} pages")
    print(f"{folder}: {len(pages)} pages; nothing is loaded from another host")


if __name__ == "__main__":
    main()
