"""`tailfuse.predict` and `tailfuse.predict_sample`: tables of any size, and one sample."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse
from tailfuse.errors import UserError
from tailfuse.evaluation import answer_part
from tailfuse_service.bundle import BundleError, open_bundle

ROWS = {"id": [1, 2, 3], "review": ["a dark spot", None, "itchy"], "age": [61, None, 20]}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    pl.DataFrame(ROWS).write_csv(path)
    return path


def test_a_table_is_answered_into_a_file_as_the_model_answers(tiny_bundle: Path, table: Path) -> None:
    done: list[int] = []
    counts = tailfuse.predict(
        str(tiny_bundle), str(table), table.with_name("out.parquet"), keep=iter(["id"]), on_rows=done.append
    )
    assert (counts.rows, counts.answered, counts.without_modality, counts.errors) == (3, 2, 1, 0)
    assert sum(done) == 3
    written = pl.read_parquet(table.with_name("out.parquet"))
    assert written["id"].to_list() == ["1", "2", "3"]  # as the table spells them
    model = tailfuse.load(tiny_bundle)
    expected = model.predict_proba(table)
    for at, name in enumerate(model.classes_):
        assert written[f"probability.{name}"][0] == pytest.approx(expected[0, at], abs=1e-6)


def test_it_is_answered_in_pieces(tiny_bundle: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_part, "MAX_PIECE_ROWS", 2)
    done: list[int] = []
    tailfuse.predict(tailfuse.load(tiny_bundle), table, table.with_name("out.csv"), on_rows=done.append)
    assert done == [2, 1]


@pytest.mark.parametrize(
    ("out", "said"),
    [("rows.csv", "is the table that is read"), ("old.csv", "exists already"), ("out.txt", "its ending"),
     ("no/out.csv", "No such file or directory")],
)  # fmt: skip
def test_no_file_is_lost(tiny_bundle: Path, table: Path, out: str, said: str) -> None:
    table.with_name("old.csv").write_text("mine")
    before = table.read_bytes()
    with pytest.raises(UserError, match=said):
        tailfuse.predict(tiny_bundle, table, table.parent / out)
    assert table.read_bytes() == before
    with pytest.raises(UserError, match="is the table that is read"):
        tailfuse.predict(tiny_bundle, table, table, overwrite=True)
    tailfuse.predict(tiny_bundle, table, table.with_name("old.csv"), overwrite=True)


def test_a_table_without_answers_leaves_no_file(tiny_bundle: Path, table: Path) -> None:
    table.write_text("review\n\n\n")
    with pytest.raises(UserError, match="rows"):
        tailfuse.predict(tiny_bundle, table, table.with_name("out.csv"))
    assert not table.with_name("out.csv").exists()


@pytest.mark.parametrize("options", [{"prior": "training"}, {"runtime": "torchscript"}])
def test_options_of_a_bundle_are_refused_for_an_open_model(
    tiny_bundle: Path, table: Path, options: dict[str, Any]
) -> None:
    model = tailfuse.load(tiny_bundle)
    for call in (tailfuse.predict, tailfuse.evaluate):
        with pytest.raises(ValueError, match=r"give them to tailfuse\.load"):
            call(model, table, **options)


def test_one_sample_is_answered_by_a_path_and_by_an_open_bundle(tiny_bundle: Path) -> None:
    inputs = {"notes": "a dark spot"}
    answer = tailfuse.predict_sample(tiny_bundle, inputs)
    assert answer == tailfuse.predict_sample(open_bundle(tiny_bundle), inputs)
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    assert "request_id" not in answer
    with pytest.raises(BundleError):
        tailfuse.predict_sample(tiny_bundle / "no", inputs)


def test_scalars_of_numpy_are_numbers_texts_and_truth_values(tiny_bundle: Path) -> None:
    plain = {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}
    row = {
        "age": np.int64(61), "pulse": np.float32(70.5), "smoker": np.bool_(True), "site": np.str_("back"),
    }  # fmt: skip
    expected = tailfuse.predict_sample(tiny_bundle, {"clinical": plain})
    assert tailfuse.predict_sample(tiny_bundle, {"clinical": row}) == expected


def test_one_sample_needs_the_base_install_alone(tiny_bundle: Path) -> None:
    script = (
        "import sys, tailfuse; tailfuse.predict_sample(sys.argv[1], {'notes': 'a dark spot'}); "
        "print({'torch', 'polars', 'sklearn', 'rich', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "set()\n", done.stderr
