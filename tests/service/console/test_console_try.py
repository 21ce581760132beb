"""Try: what a user gives becomes the request, and the answer is shown with its reasons."""

from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import Console
from tests.support.clients import encoded
from tests.support.process import until

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]


def wait_for_inputs(console: Console, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the newest request is the wanted one; return its inputs."""

    def newest() -> dict[str, Any]:
        console.page.wait_for_timeout(20)
        bodies = console.bodies()
        return bodies[-1]["inputs"] if bodies else {}

    until(lambda: wanted(newest()), "the request has these inputs")
    return newest()


def test_an_example_is_answered_and_explained(console: Open) -> None:
    page = console().show()
    page.fill_in()
    answers = page.answers()
    answer = next(each for each in answers if "explanation" in each)
    text = page.find("main").inner_text()
    assert page.find(".headline").inner_text() == answer["label"]
    for name, share in answer["probabilities"].items():
        row = page.find("table", "Probabilities").locator("tr", has_text=name)
        assert f"{100 * share:.1f} %" in row.inner_text()
    legend = page.page.get_by_role("list", name="Fusion weights").inner_text()
    for name, each in answer["modalities"].items():
        assert f"{name} {100 * each['weight']:.1f} %" in legend
    alone = {part["label"] for part in answer["explanation"]["alone"].values()}
    assert ("The modalities disagree: image alone says" in text) is (len(alone) > 1)
    for part in answer["explanation"]["without"].values():
        assert f"{part['label']} ({100 * part['probability']:.1f} %)" in text
    assert page.find("#live").inner_text().startswith(f"{answer['label']}, ")


def test_columns_are_sent_in_their_types(console: Open) -> None:
    page = console().show()
    page.page.get_by_label("age", exact=True).fill("41.5")
    page.page.get_by_label("smoker").select_option("true")
    page.page.get_by_label("site").fill("back")
    inputs = wait_for_inputs(page, lambda sent: len(sent.get("clinical", {})) == 3)
    assert inputs == {"clinical": {"age": 41.5, "smoker": True, "site": "back"}}
    for label in ("age", "site"):
        page.page.get_by_label(label, exact=True).fill("")
    page.page.get_by_label("smoker").select_option("missing")
    page.page.get_by_text("Fill in one modality or more").wait_for()


def test_a_problem_stands_beside_the_column_that_it_names(console: Open) -> None:
    page = console().show()
    age = page.page.get_by_label("age", exact=True)
    age.fill("old")
    page.find(".cells .problem", "old").wait_for()
    assert age.get_attribute("aria-invalid") == "true"
    assert page.page.get_by_role("alert").inner_text() == "No answer: see clinical."
    age.fill("40")
    page.find(".headline").wait_for()
    assert age.get_attribute("aria-invalid") is None
    assert page.find("[role=alert]").text_content() == ""


def test_texts_of_two_columns_are_sent_by_column(console: Open) -> None:
    page = console().show()
    page.page.get_by_label("notes: review").fill("a dark spot")
    inputs = wait_for_inputs(page, lambda sent: "notes" in sent)
    assert inputs == {"notes": {"review": "a dark spot"}}


def test_an_image_is_sent_as_it_is_and_can_be_left_out(console: Open, picture: bytes) -> None:
    page = console().show()
    chooser = page.page.get_by_label("Image file of image")
    chooser.set_input_files({"name": "spot.png", "mimeType": "image/png", "buffer": picture})
    inputs = wait_for_inputs(page, lambda sent: "image" in sent)
    assert b64decode(inputs["image"]) == picture
    page.page.get_by_role("img", name="Image of image").wait_for()
    page.page.get_by_role("button", name="Leave out image").click()
    page.page.get_by_text("Fill in one modality or more").wait_for()
    assert page.page.get_by_role("img", name="Image of image").count() == 0


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(console: Open, how: str) -> None:
    page = console().show()
    page.page.evaluate(
        """async (how) => {
          const canvas = new OffscreenCanvas(9, 7);
          canvas.getContext("2d").fillRect(0, 0, 3, 3);
          const files = new DataTransfer();
          files.items.add(new File([await canvas.convertToBlob()], "spot.png", { type: "image/png" }));
          const [target, event] = how === "drop"
            ? [document.querySelector(".drop"), new DragEvent("drop", { dataTransfer: files, bubbles: true })]
            : [document.body, new ClipboardEvent("paste", { clipboardData: files, bubbles: true })];
          target.dispatchEvent(event);
        }""",
        how,
    )
    inputs = wait_for_inputs(page, lambda sent: "image" in sent)
    assert Image.open(BytesIO(b64decode(inputs["image"]))).size == (9, 7)


def test_a_photo_is_scaled_before_it_is_sent_unless_that_is_switched_off(console: Open) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (375, 500, 3), np.uint8)
    photo = encoded(Image.fromarray(noise).resize((4000, 3000)), "JPEG", quality=90)
    file = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}
    page = console().show()
    page.page.get_by_label("Image file of image").set_input_files(file)  # type: ignore[arg-type]
    inputs = wait_for_inputs(page, lambda sent: "image" in sent)
    assert Image.open(BytesIO(b64decode(inputs["image"]))).size == (1024, 768)
    page.page.get_by_text("4000 × 3000 pixels").wait_for()
    page.page.get_by_label("Scale an image above").uncheck()
    inputs = wait_for_inputs(page, lambda sent: len(sent["image"]) > len(photo))
    assert b64decode(inputs["image"]) == photo


def test_a_scaled_photo_is_upright(console: Open) -> None:
    image = Image.new("RGB", (2000, 1000), "white")
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    photo = encoded(image, "JPEG", exif=exif)
    page = console().show()
    page.page.get_by_label("Image file of image").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}
    )
    inputs = wait_for_inputs(page, lambda sent: "image" in sent)
    sent = Image.open(BytesIO(b64decode(inputs["image"])))
    assert sent.size == (512, 1024)
    assert 0x0112 not in sent.getexif()


def test_a_file_that_no_browser_shows_is_left_to_the_service(console: Open) -> None:
    page = console().show()
    page.page.get_by_label("Image file of image").set_input_files(
        {"name": "<b>notes</b>.txt", "mimeType": "text/plain", "buffer": b"no image"}
    )
    page.find("details .problem", "image").wait_for()
    heading = page.find("summary", "image")
    described = heading.get_attribute("aria-describedby")
    assert "image" in page.find(f"#{described}").inner_text()
    page.page.get_by_text("<b>notes</b>.txt: The browser cannot show this format").wait_for()


def test_the_sample_stays_from_view_to_view(console: Open) -> None:
    page = console().show()
    page.fill_in()
    for title in ("Switch", "Damage", "Try"):
        page.follow(title)
    assert page.page.get_by_label("age", exact=True).input_value() == "50"
    page.page.get_by_role("button", name="Clear").click()
    page.follow("Switch")
    page.page.get_by_text("There is no sample yet").wait_for()


def test_ten_examples_of_a_model_with_twelve_classes_are_of_ten_classes(console: Open) -> None:
    """As `tailfuse export --examples 10` orders them: a class has a second row when all have one."""
    export = pytest.importorskip("tailfuse.data.examples")
    rows = [export.ExampleRow(f"class {at // 3}", {"notes": f"spot {at}"}) for at in range(36)]
    chosen = export.take_classes_in_turn(rows)[:10]
    page = console()
    described = page.page.request.get(f"{page.url}/console/model.json").json()
    described |= {
        "classes": [{"name": f"class {at}", "train_count": 9, "shot": "few"} for at in range(12)],
        "examples": [row.inputs for row in chosen], "example_labels": [row.label for row in chosen],
        "examples_are_rows": True,
    }  # fmt: skip
    page.answer("/console/model.json", lambda _: described)
    page.show()
    buttons = page.page.get_by_role("button", name="Row ").all_inner_texts()
    assert buttons == [f"Row {at + 1}: class {at}" for at in range(10)]
    page.page.get_by_role("button", name="Row 10: class 9").click()
    inputs = wait_for_inputs(page, lambda sent: "notes" in sent)
    assert inputs == {"notes": "spot 27"}
