"""Switch and Damage: subsets side by side, requests that run as they are copied, and damage of every kind."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse_service.modalities.series.files import read_file

from tests.support.browser import Console
from tests.support.process import Service, environment, ran, until
from tests.support.programs import locate
from tests.support.wav import write_wav

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]


@pytest.fixture
def filled(console: Open) -> Console:
    page = console(permissions=["clipboard-read", "clipboard-write"]).show()
    page.fill_in()
    return page


def test_all_subsets_of_three_modalities_stand_side_by_side(filled: Console) -> None:
    filled.follow("Switch")
    rows = filled.find("table", "Answers to subsets").locator("tbody tr")
    rows.first.wait_for()
    titles = [row.split("\t")[0] for row in rows.all_inner_texts()]
    assert titles[0].startswith("all")
    assert set(titles[1:]) == {
        "image", "clinical", "notes", "image + clinical", "image + notes", "clinical + notes"
    }  # fmt: skip
    [answered] = filled.answers("/predict/batch")
    for row, result in zip(rows.all_inner_texts(), answered["results"], strict=True):
        assert result["label"] in row
        assert f"{100 * result['probability']:.1f} %" in row


def test_a_switch_marks_its_subset_and_changes_the_request(filled: Console) -> None:
    filled.follow("Switch")
    switch = filled.page.get_by_role("switch", name="image")
    switch.focus()
    filled.page.keyboard.press("Space")
    filled.find("tr.chosen", "clinical + notes").wait_for()
    assert '"image"' not in filled.find("pre").first.inner_text()
    for name in ("clinical", "notes"):
        filled.page.get_by_role("switch", name=name).uncheck()
    filled.page.get_by_text("Every modality is off").wait_for()


@pytest.mark.needs("curl", "node")
@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
def test_the_copied_request_runs_and_gets_the_same_answer(
    filled: Console, language: str, tmp_path: Path
) -> None:
    filled.follow("Switch")
    filled.page.locator("summary", has_text=language).click()
    copy = filled.page.get_by_role("button", name=f"Copy the request in {language}")
    if not copy.is_visible():  # that of curl is open at first
        filled.page.locator("summary", has_text=language).click()
    copy.click()
    filled.page.get_by_role("button", name=f"Copy the request in {language}").get_by_text("Copied").wait_for()
    code = filled.page.evaluate("() => navigator.clipboard.readText()")
    commands = {
        "curl": [locate("bash"), "-c", code], "Python": [sys.executable, "-c", code],
        "JavaScript": [locate("node"), "--input-type=module", "-e", code],
    }  # fmt: skip
    done = ran(*commands[language], cwd=tmp_path, env=environment(NO_PROXY="127.0.0.1"))
    assert done.returncode == 0, done.stderr
    assert filled.answers()[0]["label"] in done.stdout


def test_requests_hold_whatever_text_a_value_has(console: Open) -> None:
    """Quotes of the shell, its end mark, escapes, line separators, emoji, members called __proto__."""
    page = console().show()
    hostile = 'it\'s "END"\nEND\n$(id) `id` \\ \u2028 \U0001f600 ${x} </script>'
    inputs = {"notes": hostile, "clinical": {"a'b": None, "smoker": True, "n": 1e-7}}
    snippets = dict(
        page.evaluate("snippets.js", "return m.makeSnippets('http://h/predict', a, true);", inputs)
    )
    body = snippets["curl"].split("\n")[1]
    assert json.loads(body) == {"inputs": inputs}
    assert snippets["curl"].split("\n")[2] == "END"
    stated = snippets["Python"].partition("body = ")[2].partition("\nrequest")[0]
    assert eval(stated) == {"inputs": inputs}
    said = subprocess.run(
        [locate("node"), "-e", f"{snippets['JavaScript'].partition('const response')[0]}; console.log(body)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(said.stdout) == {"inputs": inputs}
    assert all("Bearer YOUR_KEY" in each for each in snippets.values())
    proto = '{"__proto__": {"x": null}}'
    kept = page.evaluate("snippets.js", "return JSON.stringify(m.shorten(JSON.parse(a)));", proto)
    assert json.loads(kept) == json.loads(proto)


def test_a_slider_damages_its_modality_by_the_keyboard(filled: Console) -> None:
    filled.follow("Damage")
    filled.page.get_by_role("region", name="Damage").get_by_text("The answer holds").wait_for()
    slider = filled.page.get_by_role("slider", name="Strength of the damage to image")
    slider.focus()
    filled.page.keyboard.press("End")
    filled.find("h3", "Over the strength of the damage to image").wait_for()
    assert slider.get_attribute("aria-valuetext") == "100 percent"
    filled.page.wait_for_function("() => document.querySelector('.hint + .problem')?.textContent === ''")
    filled.find("summary", "The numbers").click()
    rows = filled.find("table", "Damage to image").locator("tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == [f"{10 * at}.0 %" for at in range(11)]
    names = ["weight of image", "confidence of image", f"probability of {filled.answers()[0]['label']}"]
    heads = filled.find("table", "Damage to image").locator("thead th").all_inner_texts()
    assert heads == ["Strength", *names]
    assert filled.find("svg.lines + .legend li").all_inner_texts() == names
    last = filled.bodies()[-1]["inputs"]
    assert last["image"] != filled.bodies()[0]["inputs"]["image"]
    assert last["clinical"] == filled.bodies()[0]["inputs"]["clinical"]


@pytest.mark.parametrize("kind", ["noise", "blur", "blank", "jpeg"])
def test_every_damage_to_an_image_grows_with_its_strength(console: Open, kind: str, picture: bytes) -> None:
    page = console().show()
    found = page.evaluate(
        "damage.js",
        """
        const value = a.value, modality = { kind: "image", width: 20, height: 20 };
        const damage = await m.prepareDamage(value, modality, a.kind, undefined);
        const read = async (strength) => {
          const bytes = Uint8Array.from(atob(await damage(strength)), (c) => c.charCodeAt(0));
          const image = await createImageBitmap(new Blob([bytes]));
          const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
          context.drawImage(image, 0, 0);
          return Array.from(context.getImageData(0, 0, image.width, image.height).data);
        };
        return Promise.all([0, 0, 0.3, 0.99].map(read));
        """,
        {"value": encode(picture), "kind": kind},
    )
    intact, again, some, most = (np.array(each, float) for each in found)
    assert (intact == again).all()
    assert 0 < np.abs(some - intact).mean() < np.abs(most - intact).mean()


def encode(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


def test_columns_are_shuffled_one_after_the_other(console: Open) -> None:
    page = console().show()
    columns: list[dict[str, Any]] = [
        {"type": "number", "name": f"n{at}", "mean": 0, "scale": 1, "log_unit": None} for at in range(8)
    ]
    columns += [
        {"type": "boolean", "name": "__proto__"},
        {"type": "category", "name": "c", "categories": ["x"]},
    ]
    row = [100 + at for at in range(8)] + [None, "y"]
    code = "return [0, 0.5, 0.6, 1].map((s) => JSON.stringify(m.shuffleColumns(a.row, a, undefined, s)));"
    texts = page.evaluate("damage.js", code, {"row": row, "columns": columns})
    none, half, more, all_ = (json.loads(each) for each in texts)
    names = [each["name"] for each in columns]
    assert [none[name] for name in names] == row
    changed = [{name for name in names if each[name] != none[name]} for each in (half, more, all_)]
    assert changed[0] < changed[2]
    assert changed[0] <= changed[1] <= changed[2]
    assert changed[2] == set(names) - {"__proto__"}  # what is missing stays missing


def test_words_are_dropped_until_the_text_is_missing(console: Open) -> None:
    page = console().show()
    text = " ".join(f"w{at}" for at in range(10))
    code = "return [0, 0.3, 0.6, 1].map((s) => m.dropWords(a, s));"
    whole, some, few, none = page.evaluate("damage.js", code, text)
    assert (whole, none) == (text, None)
    assert set(few.split()) < set(some.split()) < set(text.split())
    two = page.evaluate("damage.js", code, {"title": "one two", "review": ""})
    assert two[0] == {"title": "one two", "review": None}
    assert two[3] is None


def test_series_are_drawn_as_the_service_reads_them(console: Open, tmp_path: Path) -> None:
    page = console().show()
    values = np.random.default_rng(3).normal(size=(7, 2)).astype(np.float32)
    files = {
        "csv": b"\xef\xbb\xbfx,y\n1,2\n,3.5\nNaN,4\r\n",
        "json": b" [[1, null], [2, 3]]",
        "wav": write_wav(values / 9, 2),
    }
    for name, array in {"f4": values, "i2": (9 * values).astype("i2"), "flat": values[:, 0]}.items():
        np.save(tmp_path / f"{name}.npy", array)
        files[name] = (tmp_path / f"{name}.npy").read_bytes()
    for name, data in files.items():
        code = "return m.readSteps(a, { columns: ['s'] });"
        drawn = page.evaluate("steps.js", code, encode(data))
        expected = np.array(read_file(data), dtype=float)
        assert drawn is not None, name
        np.testing.assert_allclose(
            np.array(drawn, dtype=float), expected.reshape(len(expected), -1), rtol=1e-6, err_msg=name
        )
    for unknown in (b"\x93NUMPY", b"RIFF0000WAVEfmt ", b"1,2\nx,3", b"", b"[1, {}]", files["wav"][:30]):
        assert not page.evaluate("steps.js", "return m.readSteps(a, { columns: ['s'] });", encode(unknown))


def test_requests_of_many_samples_keep_to_the_limits(console: Open) -> None:
    page = console().show()
    code = "return [...m.makeBodies(a.samples, { max_body_bytes: 400, max_items: 3 })];"
    samples = [{"notes": "x" * n} for n in (1, 2, 3, 4, 300, 600, 5)]
    bodies = page.evaluate("predictions.js", code, {"samples": samples})
    assert [each["inputs"] for body in bodies for each in json.loads(body)["items"]] == samples
    assert all(len(json.loads(body)["items"]) <= 3 for body in bodies)
    assert sum(len(body) > 400 for body in bodies) == 1  # the one that is too long alone: the service says so


def test_the_service_is_asked_by_the_model_s_version(console: Open, tiny_service: Service) -> None:
    page = console().show()
    page.page.get_by_label("Model").select_option("skin-lesions 3 (stable)")
    page.page.get_by_role("button", name="Plausible values").click()
    page.find(".headline").wait_for()
    assert page.bodies("/models/skin-lesions/versions/3/predict")


@pytest.fixture
def versions(console: Open, start_console: Callable[..., Service], folder: Path) -> Console:
    return console(start_console(folder).url).show()


def hold(page: Console, version: str) -> list[Any]:
    """Hold back what the console asks about a version of the model, until `continue_` of the only element."""
    held: list[Any] = []
    page.page.route(f"**/console/model.json?*version={version}", lambda route: held.append(route))
    page.page.get_by_label("Model").select_option(
        json.dumps({"name": "skin-lesions", "version": version}, separators=(",", ":"))
    )
    until(lambda: page.page.evaluate("true") and held, f"version {version} is asked for")
    return held


def test_nothing_can_be_entered_while_another_model_is_asked_for(versions: Console) -> None:
    page = versions
    [asked] = hold(page, "1")
    assert page.page.evaluate("document.getElementById('view').inert")
    asked.continue_()
    page.page.get_by_role("button", name="Plausible values").click()
    page.find(".headline").wait_for()
    assert page.bodies("/models/skin-lesions/versions/1/predict")


def test_a_model_that_answers_late_does_not_replace_the_one_chosen_last(versions: Console) -> None:
    page = versions
    [first], [last] = hold(page, "1"), hold(page, "2")
    for asked in (last, first):
        with page.page.expect_response("**/console/model.json?*"):
            asked.continue_()
    page.page.get_by_role("button", name="Plausible values").click()
    page.find(".headline").wait_for()
    assert page.bodies("/models/skin-lesions/versions/2/predict")
    assert not page.bodies("/models/skin-lesions/versions/1/predict")
