"""Many: files become rows, rows become requests, and their answers a table that can be saved."""

import csv
import io
import struct
import zipfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tailfuse_service.bundle.manifest import ClassInfo

from tests.support.browser import Console, find_violations
from tests.support.bundles import CLASSES, write_tiny_bundle
from tests.support.clients import encoded
from tests.support.many import choose, classify, download, make_file, read_table
from tests.support.process import Service, until

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
HOSTILE = "<img src=x onerror=alert(1)>"


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def damage_entry(path: Path, flags: int) -> Path:
    """Set flags of the first entry, in its own head and in the directory."""
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", data, data.index(signature) + at, flags)
    path.write_bytes(data)
    return path


def test_a_zip_of_a_table_and_images_is_answered_row_by_row(
    console: Open, picture: bytes, tmp_path: Path
) -> None:
    table = (
        "age,image,title,review\n41,photos/a.png,spot,\nold,photos/a.png,spot,\nNA,photos/none.png,,\n7,,,\n"
    )
    archive = make_zip(tmp_path / "rows.zip", {"table.csv": table.encode(), "photos/a.png": picture})
    page = console().show("many")
    assert "modality 'clinical': the table has no column 'pulse', 'smoker', 'site'" in choose(page, archive)
    assert classify(page, archive) == "Done: 4 of 4 rows, 2 with a problem"
    rows = read_table(page)
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0][1] == "photos/a.png"
    assert "age" in rows[1][5]
    assert "'photos/none.png' is not among the chosen files" in rows[2][5]
    assert rows[3][2] in CLASSES
    saved = download(page)
    for body in page.bodies("/predict/batch"):
        answers = page.page.request.post(f"{page.url}/predict/batch", data=body).json()["results"]
        for line, answer in zip([saved[0], saved[1], saved[3]], answers, strict=True):
            assert line["label"] == answer.get("label", "")
            if "label" in answer:
                assert float(line["probability"]) == answer["probability"]
                for name, share in answer["probabilities"].items():
                    assert float(line[f"probability.{name}"]) == pytest.approx(share, abs=1e-6)
                for name, each in answer["modalities"].items():
                    assert float(line[f"weight.{name}"]) == each["weight"]


def test_images_alone_are_rows_and_have_thumbnails(console: Open, picture: bytes, tmp_path: Path) -> None:
    files = {f"{at}.png": picture for at in range(3)} | {
        "notes.txt": b"x",
        "__MACOSX/0.png": b"",
        ".hidden.png": b"",
    }
    page = console().show("many")
    said = choose(page, make_zip(tmp_path / "images.zip", files))
    assert "images: 3 rows" in said
    assert "1 file is neither a table nor an image" in said
    assert classify(page, tmp_path / "images.zip") == "Done: 3 of 3 rows, 0 with a problem"
    alpha = "(canvas) => canvas.getContext('2d').getImageData(18, 18, 1, 1).data[3]"
    drawn = f"Array.from(document.querySelectorAll('.grid canvas'), {alpha})"
    until(lambda: page.page.evaluate(drawn) == [255] * 3, "three thumbnails are drawn")


@pytest.mark.parametrize("flags", [1, 0x800], ids=["encrypted", "broken"])
def test_a_file_that_cannot_be_unpacked_is_the_problem_of_its_row(
    console: Open, picture: bytes, tmp_path: Path, flags: int
) -> None:
    archive = damage_entry(make_zip(tmp_path / "rows.zip", {"a.png": picture, "b.png": picture}), flags)
    if flags != 1:
        data = bytearray(archive.read_bytes())
        at = data.index(picture[:4]) if picture[:4] in data else data.index(b"a.png") + 5
        data[at : at + 20] = bytes(20)
        archive.write_bytes(data)
    page = console().show("many")
    assert classify(page, archive) == "Done: 2 of 2 rows, 1 with a problem"
    [bad, good] = read_table(page)
    assert "'a.png'" in bad[5]
    assert (good[5], good[2] in CLASSES) == ("", True)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "uncompressed"])
def test_parquet_is_read_in_the_browser(
    console: Open, tmp_path: Path, picture: bytes, compression: Any
) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "age": [41, None],
            "smoker": [True, False],
            "title": ["ä", None],
            "image": [picture, None],
            "other": [1, 2],
        }
    )
    frame.write_parquet(tmp_path / "table.parquet", compression=compression)
    page = console().show("many")
    assert classify(page, tmp_path / "table.parquet") == "Done: 2 of 2 rows, 0 with a problem"
    [body] = page.bodies("/predict/batch")
    first, second = (item["inputs"] for item in body["items"])
    assert first["clinical"]["age"] == 41
    assert first["notes"] == {"title": "ä", "review": None}
    assert first["image"] == page.page.evaluate(
        "(bytes) => btoa(String.fromCharCode(...bytes))", list(picture)
    )
    assert second == {"clinical": {"age": None, "pulse": None, "smoker": False, "site": None}}


def test_rows_are_sorted_and_filtered(console: Open) -> None:
    page = console().show("many")
    lines = "".join(f"{age},{title}\n" for age, title in ((5, "a"), (50, "b c"), (95, "d"), ("x", "e")))
    classify(page, make_file("table.csv", "age,title\n" + lines))
    header = page.page.get_by_role("columnheader", name="Probability")
    for direction in ("ascending", "descending"):
        header.get_by_role("button").press("Enter")
        assert header.get_attribute("aria-sort") == direction
        shares = [float(row[3].rstrip(" %")) for row in read_table(page) if row[3] != "–"]
        assert shares == sorted(shares, reverse=direction == "descending")
        assert read_table(page)[-1][3] == "–"
    label = read_table(page)[0][2]
    page.page.get_by_label("Label contains").fill(label)
    assert {row[2] for row in read_table(page)} == {label}
    page.page.get_by_label("Label contains").fill("")
    page.page.get_by_label("Rows with a problem").check()
    assert [row[0] for row in read_table(page)] == ["4"]
    assert page.find(".hint", "of 4 answers").inner_text() == "1 of 4 answers"


def test_rows_are_filtered_by_probability_and_conflict(console: Open) -> None:
    """The tiny graph knows no conflict, so the answers have one here, and round probabilities."""
    page = console()
    answer = page.page.request.post(f"{page.url}/predict", data={"inputs": {"clinical": {"age": 4}}}).json()

    def answer_all(body: Any) -> dict[str, Any]:
        ages = [int(item["inputs"]["clinical"]["age"]) for item in body["items"]]
        known = [{**answer, "probability": age / 100, "conflict": 1 - age / 100} for age in ages]
        known[-1]["conflict"] = None  # as of a sample with one modality
        return {"results": known}

    page.answer("/predict/batch", answer_all)
    page.show("many")
    classify(page, make_file("table.csv", "age\n20\n40\n60\n80\n90\n"))

    def filter_by(label: str, value: str) -> list[str]:
        page.page.get_by_label(label, exact=True).fill(value)
        return [row[0] for row in read_table(page)]

    assert filter_by("Probability from", "0.4") == ["2", "3", "4", "5"]
    assert filter_by("to", "0.8") == ["2", "3", "4"]
    assert filter_by("Conflict from", "0.3") == ["2", "3"]
    assert page.find(".hint", "of 5 answers").inner_text() == "2 of 5 answers"
    assert filter_by("Probability from", "") == ["1", "2", "3"]
    assert filter_by("to", "") == ["1", "2", "3"]  # the row without a conflict is none of them
    assert filter_by("Conflict from", "") == ["1", "2", "3", "4", "5"]


def test_a_hundred_thousand_rows_are_few_elements(console: Open) -> None:
    page = console().show("many")
    code = """
      const columns = [{ key: "at", title: "Row", numeric: true }];
      const grid = m.makeGrid("Rows", columns, { key: "at", descending: false }, () => {});
      document.querySelector("main").replaceChildren(grid.node);
      grid.show(a, (at) => [`row ${at}`]);
      grid.node.scrollTop = grid.node.scrollHeight;
    """
    page.evaluate("grid.js", code, 100_000)
    page.find(".grid td", "row 99999").wait_for()
    assert page.find(".grid tbody tr").count() < 60
    last = page.find(".grid tr", "row 99999")
    assert last.get_attribute("aria-rowindex") == "100001"
    assert page.find(".grid").get_attribute("aria-rowcount") == "100001"


def test_names_of_files_columns_and_classes_stay_text(
    start_console: Callable[..., Service], console: Open, tmp_path: Path, picture: bytes
) -> None:
    shots = [HOSTILE, "=cmd|' /C calc'!A0", "__proto__"]
    classes = tuple(ClassInfo(name=name, train_count=9, shot="many") for name in shots)
    service = start_console(write_tiny_bundle(tmp_path / "hostile", classes=classes, name=HOSTILE))
    page = console(service.url).show("many")
    said = choose(page, make_file(f"{HOSTILE}.csv", f'age,"{HOSTILE}"\n1,2\n'))
    assert f"{HOSTILE}.csv: 1 row" in said
    assert classify(page, make_file(f"={HOSTILE}.png", picture)).startswith("Done: 1 of 1")
    assert read_table(page)[0][1] == f"={HOSTILE}.png"
    assert page.find("img").count() == 0
    with page.page.expect_download() as saved:
        page.page.get_by_role("button", name="Download as CSV").click()
    [line] = csv.DictReader(io.StringIO(Path(saved.value.path()).read_text()))
    assert line["file"] == f"'={HOSTILE}.png"
    assert line["label"] in {HOSTILE, f"'{shots[1]}", "__proto__"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "Age\n1\n", "no column of this model"),
        ("t.csv", b"age\n\xff\n", "not UTF-8"),
        ("t.csv", 'age\n"1\n', "line 2: a quoted cell has no closing quote"),
        ("t.csv", "age,age\n1,2\n", "two columns 'age'"),
        ("t.zip", "no zip", "'t.zip' is not a ZIP"),
        ("t.parquet", "PAR1", "the Parquet file cannot be read"),
        ("t.doc", "x", "neither a table nor an image"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_words(
    console: Open, name: str, content: str | bytes, said: str
) -> None:
    page = console().show("many")
    assert said in choose(page, make_file(name, content))
    assert page.find(".plan [role=alert]").count() == 1
    assert "age" not in choose(page, make_file("right.csv", "age\n4\n")).split("1 row")[0]


@pytest.mark.parametrize("scaled", [True, False])
def test_a_large_photo_is_scaled_before_it_is_sent(console: Open, tmp_path: Path, scaled: bool) -> None:
    noise = Image.effect_noise((2400, 1800), 80).convert("RGB")
    (tmp_path / "photo.png").write_bytes(encoded(noise))
    page = console().show("many")
    choose(page, tmp_path / "photo.png")
    page.page.get_by_label("Scale large images before they are sent").set_checked(scaled)
    page.page.get_by_role("button", name="Classify").click()
    page.find(".progress p", "Done: 1 of 1 rows, 0 with a problem").wait_for()
    [body] = page.bodies("/predict/batch")
    sent = Image.open(io.BytesIO(b64decode(body["items"][0]["inputs"]["image"]))).size
    assert sent == ((1024, 768) if scaled else (2400, 1800))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(console: Open, scheme: str) -> None:
    page = console(color_scheme=scheme).show("many")
    classify(page, make_file("table.csv", "age\n40\nx\n"))
    assert find_violations(page.page) == []


def test_it_fits_a_narrow_screen(console: Open) -> None:
    page = console(viewport={"width": 320, "height": 640}).show("many")
    classify(page, make_file("table.csv", "age\n40\nx\n"))
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 320
