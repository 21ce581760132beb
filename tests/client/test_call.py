"""`tailfuse call`, as a user runs it, on the base install too."""

import csv
import json
import sys
from pathlib import Path

import orjson
import pytest
from tailfuse.cli.call_answers import bar, shown
from tailfuse_service.bundle import Bundle

from tests.support.call import answered, call, refused
from tests.support.process import Service, ran
from tests.support.script import ANSWER

pytestmark = pytest.mark.e2e


def test_a_sample_is_shown_with_its_classes_and_weights(service: Service, folder: Path) -> None:
    text = answered(
        service.url, "-i", f"image={folder / 'lesion.png'}", "-i", f"clinical=@{folder / 'clinical.json'}"
    )
    label = text.partition(",")[0]
    lines = {line.split()[0]: line for line in text.splitlines()[2:] if line}
    assert {label, "nv", "mel", "bkl", "image", "clinical", "notes"} <= set(lines)
    assert lines["notes"].split() == ["notes", "absent"]
    assert "█" in lines["image"] + lines["clinical"]
    assert text.splitlines()[-1].startswith("skin-lesions, version 3; request ")


def test_json_is_the_services_own(service: Service, bundle: Bundle, folder: Path) -> None:
    inputs = ("-i", "clinical=@-", "-i", "notes=dark spot")
    document = json.loads(answered(service.url, *inputs, "--json", input='{"age": 61}'))
    output = bundle.run([bundle.sample({"clinical": {"age": 61}, "notes": "dark spot"})])
    assert document["probability"] == pytest.approx(output.probabilities.max(), abs=1e-5)
    assert set(document) == set(ANSWER)
    short = json.loads(answered(service.url, "-i", "notes=spot", "--json", "--top-k", 1))
    assert len(short["probabilities"]) == 1


def test_a_table_is_answered_row_by_row(service: Service, bundle: Bundle, folder: Path) -> None:
    out = folder / "answers.csv"
    answered(service.url, folder / "table.csv", "--out", out, code=3)
    with out.open(newline="") as file:
        first, second, third = csv.DictReader(file)
    output = bundle.run(
        [bundle.sample({"clinical": {"age": 61, "smoker": True, "site": "back"}, "notes": {"title": "dark"}})]
    )
    assert float(first["probability"]) == pytest.approx(output.probabilities.max(), abs=1e-5)
    assert float(first["weight.notes"]) == pytest.approx(output.weights[0, 2], abs=1e-5)
    assert (first["weight.image"], first["confidence.image"], first["problem"]) == ("0.0", "", "")
    assert (second["row"], second["weight.image"]) == ("2", "1.0")
    assert (third["label"], third["problem"][:34]) == ("", "modality 'clinical', column 'age':")


def test_an_unreadable_file_or_list_costs_its_row_alone(service: Service, folder: Path) -> None:
    (folder / "gone.csv").write_text("image,title\nnone.png,a\n,b\nlesion.png,\n[1,c\n,d\nnone.png,\n")
    lines = answered(service.url, folder / "gone.csv", code=3).splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["label"] != "" for row in rows] == [False, True, True, False, True, False]
    assert "none.png: No such file or directory (422 invalid-input)" in rows[0]["problem"]
    assert "(422 invalid-input)" in rows[3]["problem"]


def test_an_answer_is_explained_if_that_is_asked(service: Service, folder: Path) -> None:
    inputs = ("-i", 'clinical={"age": 61}', "-i", "notes=dark spot", "--explain")
    text = answered(service.url, *inputs)
    assert {"prior", "clinical", "notes"} <= {line.split()[0] for line in text.splitlines()[8:] if line}
    told = json.loads(answered(service.url, *inputs, "--json"))["explanation"]
    assert f"{told['contributions']['notes']:+.1%}" in text
    assert f"{told['prior']:.1%}" in text
    lines = answered(service.url, folder / "table.csv", "--explain", code=3).splitlines()
    first = next(csv.DictReader(lines))
    assert float(first["contribution.notes"]) != 0
    assert first["contribution.image"] == ""


def test_a_table_in_json_is_a_line_for_each_row(service: Service, folder: Path) -> None:
    done = call(service.url, folder / "table.csv", "--json", "--top-k", "1")
    assert (done.returncode, done.stderr.strip()) == (
        3,
        "modality 'clinical': the table has no column 'pulse'; its cells count as missing\n"
        "1 of 3 rows have a problem",
    )
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert first["modalities"]["notes"]["present"]
    assert len(second["probabilities"]) == 1
    assert third["type"] == "urn:tailfuse:problem:invalid-input"


def test_a_row_of_a_table_is_a_sample(service: Service, folder: Path) -> None:
    document = json.loads(answered(service.url, folder / "table.csv", "--row", 2, "--json"))
    present = [name for name, each in document["modalities"].items() if each["present"]]
    assert present == ["image"]
    assert "has 3 rows" in refused(service.url, folder / "table.csv", "--row", 4)
    assert "old" in refused(service.url, folder / "table.csv", "--row", 3)


@pytest.mark.slow
def test_mistakes_are_one_sentence(service: Service, folder: Path) -> None:
    url = service.url
    assert "has no column 'ages'" in refused(url, "-i", 'clinical={"ages": 1}')
    assert "one of image, clinical, notes" in refused(url, "-i", "smell=sweet")
    assert "given twice" in refused(url, "-i", "notes=a", "-i", "notes=b")
    assert "not JSON" in refused(url, "-i", "clinical={")
    assert "none.png: No such file" in refused(url, "-i", "image=none.png")
    assert "none.csv: no such file" in refused(url, "none.csv")
    assert "401 unauthorized" in refused(url, "-i", "notes=a", key="the-key-of-another-service")
    assert "401 unauthorized" in refused(url, "-i", "notes=a", "--key", "the-key-of-another-service")
    assert "starts with http://" in refused("localhost:8000", "-i", "notes=a")
    assert "either a TABLE or one sample" in refused(url, code=2)
    assert "--row is one of a TABLE" in refused(url, "-i", "notes=a", "--row", 1, code=2)
    (folder / "value.json").write_text("{}")
    assert "value.json: is a file that is read" in refused(
        url, "-i", f"clinical=@{folder / 'value.json'}", "--out", folder / "value.json", "--overwrite"
    )
    (folder / "latin.csv").write_bytes(b"title\n\xe4\n")
    assert "latin.csv: line 2 is not UTF-8 text" in refused(url, folder / "latin.csv")


def test_where_nobody_listens_is_told(service: Service) -> None:
    assert "http://127.0.0.1:1/model: " in refused("http://127.0.0.1:1", "-i", "notes=a")


def test_without_the_client_it_says_how_to_get_it() -> None:
    script = (
        "import sys; sys.modules['tailfuse_client'] = None\n"
        "from tailfuse.cli import main\nmain(['call', 'http://127.0.0.1:1', '-i', 'notes=a'])"
    )
    done = ran(sys.executable, "-c", script)
    assert done.returncode == 1
    assert "pip install ./client in a checkout" in done.stderr
    assert "Usage:" in ran(sys.executable, "-c", script.replace("'http://127.0.0.1:1'", "'--help'")).stdout


def test_bars_are_exact_to_an_eighth() -> None:
    assert [bar(share) for share in (0.0, 1 / 192, 0.5, 1.0)] == ["", "▏", "█" * 12, "█" * 24]


def test_of_many_classes_the_first_are_shown() -> None:
    from tailfuse_client.answers import parse_answer

    many = {f"class {i}": 0.9**i for i in range(30)}
    answer = parse_answer(orjson.loads(orjson.dumps({**ANSWER, "probabilities": many})))
    text = shown(answer)
    assert "class 9" in text
    assert "class 10" not in text
    assert "and 20 classes that are less probable" in text
