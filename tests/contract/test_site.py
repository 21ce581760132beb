"""The documentation site: its pages, its navigation, what they link to, and the check of what was built."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from tailfuse.modalities import KINDS
from tailfuse.spec.schema import SECTIONS, Spec

from docs.assemble import BrokenLink, Site, find_pages, replace_links
from docs.check_site import find_faults
from docs.cli_page import make_cli_page
from docs.formulas import BrokenFormula, replace_formulas
from docs.http_page import make_http_page
from docs.notebook_page import make_notebook_page
from docs.spec_page import make_spec_page
from docs.tables import make_table

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
MODELS = [Spec, *SECTIONS.values(), *(kind.spec for kind in KINDS.values())]


def walk(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from walk(each)


def test_every_page_is_in_the_navigation_once() -> None:
    pages = list(walk(CONFIG["nav"]))
    assert len(pages) == len(set(pages))
    assert set(pages) == set(find_pages().values())


def test_the_builder_loads_no_fonts_from_elsewhere_and_few_plugins() -> None:
    assert CONFIG["theme"]["font"] is False
    assert CONFIG["plugins"] == ["search"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository: a page, a page in a folder, a README, code and a list of files."""
    files = {
        "README.md": "[method](docs/METHOD.md#loss) and ![chart](docs/charts/a.png)",
        "docs/METHOD.md": "[deep](howto/deep.md), [code](../model/net.py), [all](../model)",
        "docs/howto/deep.md": "[up](../METHOD.md) [site](https://example.org/x) [here](#here)",
        "docs/FILES.md": "## model/sub/\n",
        "docs/charts/a.png": "png",
        "docs/site.css": "",
        "docs/site.js": "",
        "model/net.py": "x = 1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_links_lead_to_pages_copies_and_lists_of_files(repository: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    Site(site, repository).write()
    assert (site / "index.md").read_text() == "[method](METHOD.md#loss) and ![chart](charts/a.png)"
    assert (site / "METHOD.md").read_text() == (
        "[deep](howto/deep.md), [code](source/model/net.py.txt), [all](FILES.md#modelsub)"
    )
    assert (
        site / "howto" / "deep.md"
    ).read_text() == "[up](../METHOD.md) [site](https://example.org/x) [here](#here)"
    assert (site / "source" / "model" / "net.py.txt").read_text() == "x = 1"
    assert (site / "charts" / "a.png").exists()


def test_a_second_assembly_removes_what_is_gone(repository: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    Site(site, repository).write()
    (repository / "docs" / "howto" / "deep.md").write_text("no links")
    (repository / "docs" / "METHOD.md").write_text("no links")
    Site(site, repository).write()
    assert not (site / "source").exists()


@pytest.mark.parametrize("link", ["NONE.md", "../model/none.py", "../../outside.md"])
def test_a_broken_link_names_its_page_and_target(repository: Path, tmp_path: Path, link: str) -> None:
    (repository / "docs" / "METHOD.md").write_text(f"[x]({link})")
    with pytest.raises(BrokenLink, match=r"docs/METHOD.md: there is no .*(NONE.md|none.py|outside.md)"):
        Site(tmp_path / "site", repository).write()


def test_links_in_code_blocks_stay() -> None:
    text = "[a](b.md)\n```md\n[a](b.md)\n```\n[a](b.md)"
    assert replace_links(text, lambda _: "c.md") == "[a](c.md)\n```md\n[a](b.md)\n```\n[a](c.md)"


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="HTTPS://fonts.example/css">',
        '<link href="https://fonts.example" rel="preconnect">',
        '<img alt="x" src="https://img.shields.example/badge.svg">',
        '<img srcset="https://img.example/2x.png 2x" src="a.png">',
        '<iframe src="https://video.example"></iframe>',
        '<p style="background: url(https://img.example/x.png)">x</p>',
        "<style>@import 'https://fonts.example/css';</style>",
        "<p>One of:\n- a list without an empty line</p>",
        "<p>| a | b |\n|---|---|</p>",
        "<p>```sh\nls\n```</p>",
        '<a href="none.html#here">a page that is not there</a>',
    ],
)
def test_the_check_finds_other_hosts_and_markdown_that_is_left_over(tmp_path: Path, html: str) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{html}</body></html>")
    assert len(list(find_faults(tmp_path))) == 1


def test_the_check_reads_style_sheets(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text(
        "@font-face{src:url(https://fonts.example/a.woff2)} b{background:url(b.png)}"
    )
    assert list(find_faults(tmp_path)) == ["a.css: loads https://fonts.example/a.woff2"]


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://arxiv.org/abs/1">paper</a>',
        '<link rel="canonical" href="https://docs.example/">',
        '<a href="#here">here</a> <a href="page.html?q=1#here">itself</a> <a href="mailto:a@b.example">a</a>',
        '<script src="assets/a.js"></script>',
        '<img src="data:image/png;base64,AAAA">',
        "<pre><code>curl https://example.org - x\n- y</code></pre>",
        "<p>Three minus 2 - 1 is\nno list</p>",
    ],
)
def test_the_check_lets_links_and_own_files_pass(tmp_path: Path, html: str) -> None:
    (tmp_path / "page.html").write_text(html)
    assert not list(find_faults(tmp_path))


def test_bars_in_cells_do_not_end_them() -> None:
    assert make_table(["a"], [["x|y"], ["`x|<y>`"], ["two\nlines"]]).splitlines()[2:] == [
        "| x&#124;y |",
        "| <code>x&#124;&lt;y&gt;</code> |",
        "| two lines |",
    ]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_of_the_spec_has_a_meaning(model: type[BaseModel]) -> None:
    page = make_spec_page()
    for key, field in model.model_fields.items():
        if key != "kind":
            assert field.description, key
            assert f"| `{key}` | " in page


def test_defaults_are_those_of_yaml() -> None:
    page = make_spec_page()
    for line in (
        "| `seed` | integer ≥ 0 and ≤ 4294967295 | `0` |",
        "| `smote` | boolean | `false` |",
        "| `experts` | list of number | `[1.0]` |",
        "| `version` | text | `'1'` |",
        "| `label` | text |  |",
        "| `epochs` | integer ≥ 1 or null | `null` |",
    ):
        assert line in page


def test_the_command_line_s_page_has_every_command_and_its_options() -> None:
    page = make_cli_page()
    for name in ("demo", "init", "train", "evaluate", "export", "adapt", "predict", "serve", "call"):
        assert f"\n## tailfuse {name}\n" in page
    for option in ("--resume", "--max-queue", "--unlabelled", "--explain", "--port"):
        assert option in page


def test_the_api_s_page_has_every_call_and_schema() -> None:
    document = yaml.safe_load((ROOT / "openapi" / "openapi.yaml").read_text())
    page = make_http_page()
    for path, item in document["paths"].items():
        for method in item:
            assert f"\n## {method.upper()} {path}\n" in page
    for name in document["components"]["schemas"]:
        assert f"\n### {name}\n" in page


@pytest.mark.parametrize("page", sorted(find_pages()), ids=str)
def test_nested_lists_are_indented_as_python_s_markdown_wants_them(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    assert not [
        line for line in lines if line.lstrip()[:2] in ("- ", "* ") and 0 < len(line) - len(line.lstrip()) < 4
    ]


def test_a_notebook_is_a_page_of_texts_code_tables_charts_and_printed_text(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Text."]},
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "outputs": [
                {"output_type": "stream", "text": ["printed\n"]},
                {"output_type": "execute_result", "data": {"text/plain": ["2"], "text/html": ["<b>2</b>"]}},
                {"output_type": "display_data", "data": {"image/png": "AAAA\n", "text/plain": ["<Figure>"]}},
                {
                    "data": {
                        "text/plain": ["t"],
                        "text/html": [
                            "<style>x</style>\n<table border=1 class='a'>\n\n",
                            "<tr></tr></table>",
                        ],
                    }
                },
                {"data": {"text/plain": ["estimator"], "text/html": ["<script>x</script><table></table>"]}},
            ],
        },
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    assert make_notebook_page(tmp_path / "n.ipynb") == (
        "# Title\nText.\n\n```python\n1 + 1\n```\n\n```text\nprinted\n```\n\n```text\n2\n```\n\n"
        '<img alt="Chart that the cell draws" src="data:image/png;base64,AAAA">\n\n'
        "<table><tr></tr></table>\n\n```text\nestimator\n```\n"
    )


@pytest.mark.parametrize("page", sorted(find_pages()))
def test_all_formulas_become_mathml(page: str) -> None:
    text = replace_formulas((ROOT / page).read_text())
    assert "$`" not in text
    assert "```math" not in text


def test_formulas_of_blocks_and_lines_become_mathml_and_code_stays() -> None:
    text = replace_formulas("$`w_m`$ and `$x`\n\n```math\n\\log p\n= 1\n```\n\n```sh\necho $x\n```\n")
    assert text.startswith(
        '<span><math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><msub><mi>w</mi>'
    )
    assert (
        '\n\n<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow><mi>log</mi><mspace '
        in text
    )
    assert " and `$x`\n" in text
    assert text.endswith("</math>\n\n```sh\necho $x\n```\n")


@pytest.mark.parametrize("formula", [r"\lag p", r"\log{p", r"a & b", r"\frac{1}{2}}"])
def test_a_broken_formula_names_its_page(repository: Path, tmp_path: Path, formula: str) -> None:
    (repository / "docs" / "METHOD.md").write_text(f"```math\n{formula}\n```\n")
    with pytest.raises(BrokenFormula, match=r"docs/METHOD.md: .* in the formula "):
        Site(tmp_path / "site", repository).write()
