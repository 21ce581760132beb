"""Names that a bundle may hold and nobody expects: the page stays right, legible and inside its screen."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tailfuse_service.bundle.files import CARD
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import TabularModality, TextModality

from tests.support.browser import Console, find_violations
from tests.support.bundles import MODALITIES, add_file, write_tiny_bundle
from tests.support.process import Service

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
Start = Callable[..., Service]
TURNED = "\u202eegami"  # from here on, letters are shown from right to left
HEBREW, ARABIC = "\u05d0\u05d1\u05d2", "\u0627\u0628\u062a"
LONG = "W" * 300
# Where the first and the last character of a text are.
READ_ENDS = """(node, text) => {
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const at = walker.currentNode.data.indexOf(text);
    if (at < 0) continue;
    return [at, at + text.length - 1].map((index) => {
      const range = new Range();
      range.setStart(walker.currentNode, index);
      range.setEnd(walker.currentNode, index + 1);
      return range.getBoundingClientRect().left;
    });
  }
}"""


def assert_left_to_right(node: "Locator", text: str) -> None:
    first, last = node.evaluate(READ_ENDS, text)
    assert first < last, text


def describe(console: Console, *names: str, **changes: Any) -> list[str]:
    """Give the page a model with these modalities, each a text; answer in the service's place."""
    described = console.page.request.get(f"{console.url}/console/model.json").json()
    notes = described["modalities"]["notes"]
    example = dict.fromkeys(names, "a spot")
    described |= {"modalities": dict.fromkeys(names, notes), "examples": [example], **changes}
    labels = [each["name"] for each in described["classes"]]
    shares = {label: 1 / len(labels) for label in labels}

    def answer(body: Any) -> dict[str, Any]:
        part = {"label": labels[0], "probability": shares[labels[0]]}
        present = body["inputs"]
        return {
            "request_id": "1", "model": {"name": "n", "version": "1"}, **part, "probabilities": shares,
            "modalities": {
                name: {"present": name in present, "weight": 1 / len(present), "confidence": 0.5}
                for name in names
            },
            "explanation": {
                "prior": 0.1, "method": "exact", "disagree": True,
                "contributions": dict.fromkeys(present, 0.2),
                "without": dict.fromkeys(present, part), "alone": dict.fromkeys(present, part),
            },
        }  # fmt: skip

    console.answer("/console/model.json", lambda _: described)
    console.answer("/predict", answer)
    console.answer("/predict/batch", lambda body: {"results": [answer(item) for item in body["items"]]})
    return labels


def classes(*names: str) -> tuple[ClassInfo, ...]:
    return tuple(ClassInfo(name=name, train_count=9, shot="few") for name in names)


def test_modalities_are_called_as_members_of_every_object(console: Open) -> None:
    """Without a reference, as in older bundles, such a name must find nothing."""
    names = ["__proto__", "constructor", "toString", "2", "1", "a\nb"]
    page = console()
    described = page.page.request.get(f"{page.url}/console/model.json").json()
    clinical = {**described["modalities"]["clinical"]}
    describe(page, *names, modalities=dict.fromkeys(names, clinical),
             examples=[{name: {"age": 4} for name in names}])  # fmt: skip
    page.show().fill_in()
    assert page.bodies()[-1]["inputs"] == {name: {"age": 4} for name in names}
    page.follow("Switch")
    page.find("tr.chosen").wait_for()
    page.page.get_by_role("switch", name="__proto__").press("Space")
    page.find("tr.chosen", "without __proto__").wait_for()
    assert page.find("tr.chosen").count() == 1
    page.follow("Damage")
    for name in ("__proto__", "constructor"):
        page.page.get_by_role("slider", name=f"Strength of the damage to {name}", exact=True).press("End")
        page.find("h3", f"Over the strength of the damage to {name}").wait_for()
    assert "__proto__" in page.bodies("/predict/batch")[-1]["items"][0]["inputs"]
    page.follow("Many")
    table = {"name": "t.csv", "mimeType": "text/csv", "buffer": b"age,constructor\n4,x\n"}
    page.page.get_by_label("Choose or drop a table").set_input_files(table)  # type: ignore[arg-type]
    page.page.get_by_role("button", name="Classify").click()
    page.find(".progress p", "Done: 1 of 1 rows, 0 with a problem").wait_for()


def test_two_subsets_with_line_breaks_in_their_names_are_two(console: Open) -> None:
    page = console()
    describe(page, "a", "b", "a\nb")
    page.show().fill_in()
    page.follow("Switch")
    page.find("tr.chosen").wait_for()
    page.page.get_by_role("switch").nth(2).press("Space")
    chosen = page.find("tr.chosen")
    page.find("tr.chosen", "a + b").wait_for()
    assert chosen.count() == 1


def test_names_from_right_to_left_turn_nothing_around_them(console: Open) -> None:
    page = console()
    describe(page, TURNED, HEBREW, classes=[each.model_dump() for each in classes(TURNED, ARABIC, HEBREW)],
             label=TURNED, examples_are_rows=True, example_labels=[TURNED])  # fmt: skip
    page.show()
    assert_left_to_right(page.find("main h2"), "What")
    page.page.get_by_role("button", name="Row 1").click()
    page.page.get_by_text("What each modality adds").wait_for()
    for name in (TURNED, HEBREW):
        assert_left_to_right(page.find(".legend li", name).first, "50.0 %")
    assert_left_to_right(page.find("p", "The modalities disagree"), "alone says")
    assert_left_to_right(page.find("td.words").first, "33.3 %")
    page.follow("Switch")
    page.find("tr.chosen").wait_for()
    assert_left_to_right(page.find("tr.chosen td.weights"), "50.0 %")
    page.follow("Damage")
    verdict = page.find("main p", "The answer holds")
    verdict.wait_for()
    assert_left_to_right(verdict, "33.3 %")


def test_an_arrow_from_one_label_to_another_keeps_its_direction(console: Open) -> None:
    """As plain text, two labels from right to left change places."""
    page = console().show()
    code = """
      const item = m.element("li", {}, ...m.isolate`${a[0]} → ${a[1]}: ${3}`);
      document.querySelector("main").replaceChildren(item);
      return [...item.querySelectorAll("bdi")].map((each) => each.getBoundingClientRect().left);
    """
    places = page.evaluate("element.js", code, [ARABIC, HEBREW])
    assert places == sorted(places)


def test_names_of_three_hundred_characters_fit_a_phone(
    start_console: Start, console: Open, tmp_path: Path
) -> None:
    clinical = MODALITIES["clinical"]
    assert isinstance(clinical, TabularModality)
    columns = (clinical.columns[0].model_copy(update={"name": LONG}), *clinical.columns[1:])
    folder = write_tiny_bundle(
        tmp_path / "long", name=LONG, label=LONG, version=LONG,
        classes=classes(*(f"{LONG}{at}" for at in range(3))),
        modalities={**MODALITIES, "clinical": clinical.model_copy(update={"columns": columns})},
    )  # fmt: skip
    add_file(folder, CARD, f"# {LONG}\n\n| {LONG} | b |\n|---|---:|\n| {LONG} | 1 |\n".encode())
    page = console(start_console(folder).url, viewport={"width": 320, "height": 640}).show()
    page.fill_in()
    for view in ("Try", "Switch", "Damage", "Many", "Watch", "About"):
        page.follow(view)
        if view == "Many":
            table = {"name": f"{LONG}.csv", "mimeType": "text/csv", "buffer": f"{LONG}\n4\n".encode()}
            page.page.get_by_label("Choose or drop a table").set_input_files(table)  # type: ignore[arg-type]
            page.page.get_by_role("button", name="Classify").click()
            page.page.get_by_role("button", name="Download as CSV").wait_for()
        page.find("main table").first.wait_for()
        page.page.wait_for_load_state("networkidle")
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 320, view
        assert find_violations(page.page) == []


def test_classes_called_by_numbers_keep_their_answers(
    start_console: Start, console: Open, tmp_path: Path
) -> None:
    """An object sorts such members; -1 is a label, and no formula."""
    folder = write_tiny_bundle(tmp_path / "numbers", classes=classes("10", "-1", "2"))
    page = console(start_console(folder).url).show()
    page.fill_in()
    answer = page.answers()[0]
    rows = page.find("table", "Probabilities").locator("tbody tr")
    expected = sorted(answer["probabilities"].items(), key=lambda each: -each[1])
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == [label for label, _ in expected]
    assert page.find("tr.chosen th").first.inner_text() == answer["label"]
    page.follow("Many")
    ages = "".join(f"{age}\n" for age in range(0, 100, 5))
    table = {"name": "t.csv", "mimeType": "text/csv", "buffer": f"age\n{ages}".encode()}
    page.page.get_by_label("Choose or drop a table").set_input_files(table)  # type: ignore[arg-type]
    page.page.get_by_role("button", name="Classify").click()
    with page.page.expect_download() as saved:
        page.page.get_by_role("button", name="Download as CSV").click()
    header, *lines = Path(saved.value.path()).read_text().splitlines()
    assert header.startswith("row,file,label,probability,probability.10,probability.-1,probability.2,")
    shares = [dict(zip(("10", "-1", "2"), map(float, line.split(",")[4:7]), strict=True)) for line in lines]
    labels = [line.split(",")[2] for line in lines]
    assert labels == [max(each, key=lambda name: each[name]) for each in shares]


def test_an_empty_card_is_said_to_be_empty(start_console: Start, console: Open, tmp_path: Path) -> None:
    folder = add_file(write_tiny_bundle(tmp_path / "empty"), CARD, b" \n")
    page = console(start_console(folder).url).show("about")
    page.find("[role=alert]", "the model card is empty").wait_for()
    assert page.find("tbody tr").count() == 1


def test_columns_with_line_breaks_are_sent_as_they_are(
    start_console: Start, console: Open, tmp_path: Path
) -> None:
    clinical, name = MODALITIES["clinical"], 'blood\npressure, "mm"\tHg'
    assert isinstance(clinical, TabularModality)
    columns = (clinical.columns[0].model_copy(update={"name": name}), *clinical.columns[1:])
    notes = TextModality(columns=("a\nb", "review"), buckets=64, ngrams=2, max_tokens=16)
    modalities = {**MODALITIES, "clinical": clinical.model_copy(update={"columns": columns}), "notes": notes}
    page = console(start_console(write_tiny_bundle(tmp_path / "breaks", modalities=modalities)).url).show()
    page.find(".cells input").first.fill("41")
    page.find(".headline").wait_for()
    assert page.bodies()[-1]["inputs"] == {"clinical": {name: 41}}
    page.find(".cells input").first.fill("old")
    page.find(".cells .problem", "old").wait_for()
    page.find(".cells input").first.fill("41")
    page.follow("Many")
    quoted = f'"{name.replace(chr(34), chr(34) * 2)}","a\nb"\r\n41,spot\r\n'
    table = {"name": "t.csv", "mimeType": "text/csv", "buffer": quoted.encode()}
    page.page.get_by_label("Choose or drop a table").set_input_files(table)  # type: ignore[arg-type]
    page.page.get_by_role("button", name="Classify").click()
    page.find(".progress p", "Done: 1 of 1 rows, 0 with a problem").wait_for()
    [item] = page.bodies("/predict/batch")[-1]["items"]
    assert item["inputs"]["clinical"][name] == "41"
    assert item["inputs"]["notes"]["a\nb"] == "spot"


def test_a_parquet_column_called_proto_is_read(console: Open, tmp_path: Path) -> None:
    """As objects, the rows of a Parquet file would lose this column; they have no member that it does not."""
    polars = pytest.importorskip("polars")
    file = io.BytesIO()
    polars.DataFrame({"__proto__": ["a spot"], "other": [1]}).write_parquet(file)
    page = console()
    notes = page.page.request.get(f"{page.url}/console/model.json").json()["modalities"]["notes"]
    modalities = {
        "notes": {**notes, "columns": ["__proto__"]}, "more": {**notes, "columns": ["constructor"]}
    }  # fmt: skip
    describe(page, "notes", "more", modalities=modalities)
    page.show("many")
    table = {"name": "t.parquet", "mimeType": "", "buffer": file.getvalue()}
    page.page.get_by_label("Choose or drop a table").set_input_files(table)  # type: ignore[arg-type]
    page.page.get_by_role("button", name="Classify").click()
    page.page.get_by_role("button", name="Download as CSV").wait_for()
    [item] = page.bodies("/predict/batch")[-1]["items"]
    assert item["inputs"] == {"notes": "a spot"}
