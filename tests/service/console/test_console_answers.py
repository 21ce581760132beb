"""What the page shows of an answer is what the service has answered; inputs of every kind are drawn."""

from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tailfuse_service.bundle.manifest import Histogram, InputReference, Reference
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn

from tests.support.browser import Console
from tests.support.bundles import MODALITIES, tiny_graph, write_tiny_bundle
from tests.support.process import Service

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
Start = Callable[..., Service]
FALLING = 4  # the seed of a graph in which a grey image has less weight than the picture, and the label holds
SHOWN = 0.001  # how far a width or a place in percent may be from the number: the browser rounds


def read_bars(console: Console, caption: str) -> dict[str, tuple[float, float, str]]:
    """Return start and end of each bar of a table as shares, and the text beside it, by the row's head."""
    rows = console.find("table", caption).locator("tbody tr").all()
    found = {}
    for row in rows:
        style = row.locator(".track > span").evaluate("({ style }) => [style.left, style.width]")
        left, width = (float(each.rstrip("%") or 0) / 100 for each in style)
        found[row.locator("th").inner_text()] = (left, left + width, row.locator("td.number").inner_text())
    return found


def format_share(share: float) -> str:
    return f"{100 * share:.1f} %"


def read_rows(console: Console, caption: str) -> list[list[str]]:
    """Return the cells of a table's body, also where it is folded."""
    rows = console.find("table", caption).locator("tbody tr").all()
    return [row.locator("th, td").all_text_contents() for row in rows]


def assert_bar_ends(bar: tuple[float, float, str], share: float) -> None:
    """Check that a bar begins at 0 and ends at a share, which stands beside it."""
    assert [bar[0], bar[1]] == pytest.approx([0, share], abs=SHOWN)
    assert bar[2] == format_share(share)


def find_answer(console: Console) -> dict[str, Any]:
    return next(each for each in console.answers() if "explanation" in each)


def test_bars_and_confidences_are_those_of_the_answer(console: Open) -> None:
    page = console().show()
    page.fill_in()
    answer = find_answer(page)
    bars = read_bars(page, "Probabilities")
    assert bars.keys() == answer["probabilities"].keys()
    for label, share in answer["probabilities"].items():
        left, right, text = bars[label]
        assert [left, right] == pytest.approx([0, share], abs=SHOWN)
        assert text == format_share(share)
    modalities = answer["modalities"]
    assert read_rows(page, "How sure each modality is") == [
        [name, format_share(each["weight"]), format_share(each["confidence"])]
        for name, each in modalities.items()
    ]
    widths = page.find(".stack > span").evaluate_all("(parts) => parts.map(({ style }) => style.width)")
    weights = [each["weight"] for each in modalities.values()]
    assert [float(width.rstrip("%")) / 100 for width in widths] == pytest.approx(weights, abs=SHOWN)


def test_shapley_values_lead_from_the_prior_to_the_answer(console: Open) -> None:
    page = console().show()
    page.fill_in()
    answer = find_answer(page)
    explanation = answer["explanation"]
    bars = read_bars(page, "What each modality adds")
    assert list(bars) == ["before any modality", *explanation["contributions"], "all together"]
    assert_bar_ends(bars["before any modality"], explanation["prior"])
    level = explanation["prior"]
    for name, value in explanation["contributions"].items():
        left, right, text = bars[name]
        assert [left, right] == pytest.approx(sorted((level, level + value)), abs=SHOWN)
        sign = "" if abs(value) < 0.0005 else "−" if value < 0 else "+"
        assert text == f"{sign}{format_share(abs(value))}"
        level += value
    assert_bar_ends(bars["all together"], answer["probability"])


@pytest.mark.parametrize(("conflict", "said"), [(0.731, "In conflict"), (0.269, "No conflict")])
def test_the_conflict_is_said_in_words(console: Open, conflict: float, said: str) -> None:
    """The tiny graph knows no conflict, so its answer gets one here."""
    page = console()
    answer = page.page.request.post(f"{page.url}/predict", data={"inputs": {"notes": "a spot"}}).json()
    page.answer("/predict", lambda _: {**answer, "conflict": conflict})
    page.show()
    page.page.get_by_label("notes: title").fill("a spot")
    sentence = "the probability that a modality's values belong to another sample is"
    page.find("p", f"{said}: {sentence} {format_share(conflict)}.").wait_for()


def test_units_and_ranges_stand_beside_the_inputs(
    start_console: Start, console: Open, tmp_path: Path
) -> None:
    """The reference is standardised: pulse is 70 + 5 z, age a logarithm."""
    clinical = MODALITIES["clinical"]
    assert isinstance(clinical, TabularModality)
    age, pulse, smoker, site = clinical.columns
    assert isinstance(pulse, NumberColumn)
    assert isinstance(age, NumberColumn)
    per_minute = pulse.model_copy(update={"format": pulse.format.model_copy(update={"unit": "/min"})})
    logarithm = age.model_copy(update={"mean": 2.0, "scale": 1.0, "log_unit": 10.0})
    columns = (logarithm, per_minute, smoker, site)
    even = Histogram(edges=(0.0, 1.0), counts=(9,))
    inputs = tuple(
        InputReference(name=name, edges=(-1.0, 0.0, 1.0), counts=(1, 3, 3, 1, 0)) for name in ("age", "pulse")
    )
    folder = write_tiny_bundle(
        tmp_path / "units",
        modalities={**MODALITIES, "clinical": clinical.model_copy(update={"columns": columns})},
        reference={"clinical": Reference(presence=1.0, weight=even, confidence=even, inputs=inputs)},
    )
    page = console(start_console(folder).url).show()

    def read_description(label: str) -> str:
        field = page.page.get_by_label(label, exact=True)
        return page.find(f"#{field.get_attribute('aria-describedby')}").inner_text().strip()

    assert read_description("pulse") == "mostly 65 to 75 /min"
    assert read_description("age") == "mostly 11.8 to 100"  # 10 sinh(2 ± 1)
    assert read_description("site") == "2 categories"


@pytest.fixture
def waves(console: Open) -> Console:
    """A page whose model has a series of two channels beside the notes; the answer is that to the notes."""
    page = console()
    described = page.page.request.get(f"{page.url}/console/model.json").json()
    wave = {
        "kind": "series", "columns": ["wave"], "channels": [{"mean": 0, "scale": 1}] * 2, "length": 8,
        "unreadable": "stop",
    }  # fmt: skip
    described["modalities"] = {"wave": wave, "notes": described["modalities"]["notes"]}
    answer = page.page.request.post(f"{page.url}/predict", data={"inputs": {"notes": "a spot"}}).json()
    page.answer("/console/model.json", lambda _: described)
    page.answer("/predict", lambda _: answer)
    return page.show()


def read_lines(console: Console) -> list[list[tuple[float, float]]]:
    """Return the points of each line of the drawn series, as shares of the drawing's width and height."""
    svg = console.find("svg.lines[aria-label='Time series wave']")
    svg.wait_for()
    paths = svg.locator("path").evaluate_all("(paths) => paths.map((path) => path.getAttribute('d'))")
    points = [[tuple(map(float, point.split())) for point in path[1:].split("L")] for path in paths]
    x = [each[0] for line in points for each in line]
    y = [each[1] for line in points for each in line]
    return [
        [((px - min(x)) / (max(x) - min(x)), (max(y) - py) / (max(y) - min(y))) for px, py in line]
        for line in points
    ]


@pytest.mark.parametrize("how", ["typed", "file"])
def test_a_series_is_drawn(waves: Console, how: str) -> None:
    values = np.array([[0, 4], [1, 2], [4, 0]], np.float32)
    if how == "typed":
        waves.page.get_by_label("Values of wave").fill("0,4\n1,2\n4,0")
    else:
        file = BytesIO()
        np.save(file, values)
        waves.page.get_by_label("File of wave").set_input_files(
            {"name": "wave.npy", "mimeType": "", "buffer": file.getvalue()}
        )
    waves.find(".hint", "3 steps of 2 channels").wait_for()
    expected = [[(at / 2, value / 4) for at, value in enumerate(column)] for column in values.T]
    for line, wanted in zip(read_lines(waves), expected, strict=True):
        np.testing.assert_allclose(line, wanted, atol=0.01)
    assert waves.find("svg + .legend li").all_inner_texts() == ["channel 1", "channel 2"]
    waves.find(".headline").wait_for()
    sent = waves.bodies()[-1]["inputs"]["wave"]
    if how == "typed":
        assert sent == values.tolist()
    else:
        np.testing.assert_array_equal(np.load(BytesIO(b64decode(sent))), values)


def test_a_photo_is_taken_with_the_camera(console: Open, picture: bytes) -> None:
    page = console(is_mobile=True, has_touch=True).show()
    camera = page.page.get_by_label("Photo of image")
    assert camera.is_visible()
    assert (camera.get_attribute("capture"), camera.get_attribute("accept")) == ("environment", "image/*")
    camera.set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": picture})
    page.find(".headline").wait_for()
    assert b64decode(page.bodies()[-1]["inputs"]["image"]) == picture
    assert not console().show().page.get_by_label("Photo of image").is_visible()  # where there is a mouse


@pytest.fixture
def falling(start_console: Start, console: Open, tmp_path: Path, picture: bytes) -> Console:
    """Damage of a bundle in which the weight of a damaged image falls."""
    folder = write_tiny_bundle(tmp_path / "falling", graph=tiny_graph(FALLING))
    page = console(start_console(folder).url).show()
    page.page.get_by_label("Image file of image").set_input_files(
        {"name": "spot.png", "mimeType": "image/png", "buffer": picture}
    )
    page.page.get_by_label("age", exact=True).fill("50")
    page.page.get_by_label("notes: title").fill("a spot")
    page.page.get_by_text("What each modality adds").wait_for()
    page.follow("Damage")
    page.wait_for_damage()
    return page


def is_grey(body: dict[str, Any]) -> bool:
    """Return whether the image of a request is grey all over."""
    image = Image.open(BytesIO(b64decode(body["inputs"]["image"]))).convert("RGB")
    return image.getextrema() == ((128, 128),) * 3


def test_the_kind_of_damage_is_chosen_and_the_weight_falls(falling: Console) -> None:
    choice = falling.page.get_by_label("Damage to image", exact=True)
    assert choice.locator("option").all_inner_texts() == ["Noise", "Blur", "Blank", "JPEG"]
    choice.select_option("Blank")
    falling.damage(100)
    bodies = sorted(falling.bodies()[-2:], key=is_grey)
    assert [is_grey(body) for body in bodies] == [False, True]
    intact, damaged = (
        falling.page.request.post(f"{falling.url}/predict", data=body).json() for body in bodies
    )
    weights = [each["modalities"]["image"]["weight"] for each in (intact, damaged)]
    assert weights[1] < weights[0] - 0.05
    assert intact["label"] == damaged["label"]
    verdict = f"The answer holds: {damaged['label']}, {format_share(damaged['probability'])}."
    falling.find("main p", verdict).wait_for()
    [row] = [cells for cells in read_rows(falling, "Before and after") if cells[0] == "image"]
    assert row[1] == " → ".join(map(format_share, weights))


def test_the_curve_is_that_of_the_service_s_answers(falling: Console) -> None:
    falling.page.get_by_label("Damage to image", exact=True).select_option("Blank")
    falling.damage(100)
    results = falling.answers("/predict/batch")[-1]["results"]
    label = results[0]["label"]
    expected = [
        [format_share(at / 10), *(format_share(value) for value in (
            each["modalities"]["image"]["weight"], each["modalities"]["image"]["confidence"],
            each["probabilities"][label],
        ))]
        for at, each in enumerate(results)
    ]  # fmt: skip
    assert read_rows(falling, "Damage to image") == expected
    assert len(expected) == 11
    assert float(expected[0][1].split()[0]) > float(expected[-1][1].split()[0])
    paths = falling.find("svg.lines path").evaluate_all("(all) => all.map((each) => each.getAttribute('d'))")
    first, last = (
        [float(point.split()[1]) for point in path[1:].split("L")] for path in (paths[0], paths[2])
    )
    assert first[0] < first[-1]  # the line of the weight goes down
    assert len(last) == 11
