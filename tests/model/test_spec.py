"""Specs: what they may say, and how each mistake is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse.errors import SpecError
from tailfuse.modalities import ImageSpec, SeriesSpec, TabularSpec, TextSpec
from tailfuse.spec.schema import Spec, SplitSpec, load_spec, make_spec

SPEC = """\
name: skin-lesions
table: data/table.csv
label: label
split: {val: 0.1, test: 0.2, group: lesion_id}
modalities:
  image: {kind: image, column: image, size: 96}
  rna:
    kind: tabular
    columns: rna_*
  notes: {kind: text, columns: [title, review]}
training:
  epochs: 7
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Load a spec's text, and return it or the mistakes without the folder."""

    def load(text: str, *overrides: str) -> Spec:
        path = tmp_path / "spec.yaml"
        path.write_text(text, "utf-8")
        try:
            return load_spec(path, overrides)
        except SpecError as error:
            raise SpecError(str(error).replace(f"{tmp_path}/", "")) from error

    return load


def mistakes(load: Any, text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(text, *overrides)
    return str(caught.value).splitlines()


def test_a_whole_spec_is_read(load: Any, tmp_path: Path) -> None:
    spec = load(SPEC)
    assert spec.table == tmp_path / "data/table.csv"
    assert spec.split == SplitSpec(val=0.1, test=0.2, group="lesion_id")
    assert spec.modalities == {
        "image": ImageSpec(kind="image", column="image", size=(96, 96)),
        "rna": TabularSpec(kind="tabular", columns=("rna_*",)),
        "notes": TextSpec(kind="text", columns=("title", "review")),
    }
    assert spec.training.epochs == 7
    assert list(spec.modalities) == ["image", "rna", "notes"]


def test_what_is_left_out_has_a_default(load: Any) -> None:
    spec = load("name: x\ntable: t.csv\nlabel: y\nmodalities: {a: {kind: image, column: a}}\n")
    assert spec.split == SplitSpec(val=0.1, test=0.2)
    assert spec.version == "1"
    assert spec.modalities["a"] == ImageSpec(kind="image", column="a", size=(64, 64), encoder="small_cnn")


def test_a_spec_survives_json(load: Any) -> None:
    spec = load(SPEC)
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_scalars_mean_what_the_spec_says_and_not_what_yaml_guesses(load: Any) -> None:
    text = SPEC.replace("label: label", "label: no\nversion: 1.10") + "  learning_rate: 1e-3\n"
    spec = load(text)
    assert (spec.label, spec.version, spec.training.learning_rate) == ("no", "1.10", 0.001)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size: 96", "size: abc", "6: modalities.image.size: Input should be a valid integer, not 'abc'"),
        ("size: 96", "size: [1, 64]",
         "6: modalities.image.size.0: Input should be greater than or equal to 4, not '1'"),
        ("size: 96", "size: [64]", "6: modalities.image.size: takes one number, or [height, width]"),
        ("size: 96", "sise: 96", "6: modalities.image.sise: unknown key; did you mean 'size'?"),
        ("    columns: rna_*\n", "", "7: modalities.rna.columns: is required"),
        ("kind: tabular", "kind: tabula",
         "8: modalities.rna.kind: 'tabula' is none of image, tabular, text, series; did you mean 'tabular'?"),
        ("    kind: tabular\n", "", "7: modalities.rna.kind: is required: image, tabular, text, series"),
        ("columns: rna_*", "columns: rna_*\n    types: {rna_1: numbr}",
         "10: modalities.rna.types.rna_1: "
         "Input should be 'number', 'boolean' or 'category', not 'numbr'; did you mean 'number'?"),
        ("columns: rna_*", "columns: []",
         "9: modalities.rna.columns: Value should have at least 1 item"),
        ("label: label\n", "", "1: label: is required"),
        ("label: label", "label:", "3: label: Input should be a valid string"),
        ("training:", "trainin:", "11: trainin: unknown key; did you mean 'training'?"),
        ("epochs: 7", "epoch: 7", "12: training.epoch: unknown key; did you mean 'epochs'?"),
        ("training:", "prior: rarest\ntraining:",
         "11: prior: takes uniform, training, tempered, or the share of each class, not 'rarest'"),
        ("epochs: 7", "folds: 1", "12: training.folds: takes 0 (none), or at least 2, not '1'"),
        ("epochs: 7", "epochs: 7\nnetwork: {fusion: concatt}",
         "13: network.fusion: Input should be 'confidence', 'uniform', 'late', 'single', 'concat', "
         "'tensor', 'dynamics', 'qmf', 'tmc' or 'sade_mm', not 'concatt'; did you mean 'concat'?"),
        ("epochs: 7", "epochs: 7\nnetwork: {loss: focall}",
         "13: network.loss: Input should be 'experts', 'cross_entropy', 'class_balanced', 'focal', "
         "'ldam_drw', 'balanced_softmax', 'logit_adjustment', 'abc', 'reslt', 'ace' or 'sade', "
         "not 'focall'; "
         "did you mean 'focal'?"),
        ("epochs: 7", "learning_rate: nan",
         "12: training.learning_rate: Input should be a finite number, not 'nan'"),
        ("  epochs: 7\n", "  - epochs\n", "11: training: takes keys with values of their own"),
        ("val: 0.1", "vall: 0.1", "4: split.vall: unknown key; did you mean 'val'?"),
        ("test: 0.2", "test: 0.9", "4: split: val and test together must leave rows to train on"),
        ("  rna:", "  presence:",
         "7: modalities.presence: a modality's name is letters, digits and _, begins with a letter, and is "
         "none of presence, probabilities, weights, confidences, disagreement, conflict"),
        ("  rna:", "  rna 2:",
         "7: modalities.rna 2: a modality's name is letters, digits and _, begins with a letter, and is "
         "none of presence, probabilities, weights, confidences, disagreement, conflict"),
        ("label: label", "label: label\nlabel: y", "4: not valid YAML: the key 'label' is given twice"),
        ("columns: rna_*", "columns: rna_*\n    columns: rna_1",
         "10: not valid YAML: the key 'columns' is given twice"),
        ("label: label", "label: a: b", "3: not valid YAML: mapping values are not allowed here"),
        ("epochs: 7", "epochs: !!int abc", "12: not valid YAML: 'abc' is no !!int"),
        ("epochs: 7", "epochs: !!int", "12: not valid YAML: '' is no !!int"),
        ("epochs: 7", "learning_rate: !!float abc", "12: not valid YAML: 'abc' is no !!float"),
        ("epochs: 7", "damage: !!bool foo", "12: not valid YAML: 'foo' is no !!bool"),
        ("label: label", "label: !!timestamp foo", "3: not valid YAML: 'foo' is no !!timestamp"),
        ("label: label", "label: !!timestamp 2001-99-99",
         "3: not valid YAML: '2001-99-99' is no !!timestamp"),
        ("training:\n  epochs: 7", "training: !!map text",
         "11: not valid YAML: expected a mapping node, but found scalar"),
        ("label: label", "label: label\nseed: -1",
         "4: seed: Input should be greater than or equal to 0, not '-1'"),
        ("label: label", f"label: label\nseed: {2**32}",
         "4: seed: Input should be less than or equal to 4294967295, not '4294967296'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_key(load: Any, old: str, new: str, said: str) -> None:
    assert old in SPEC
    assert mistakes(load, SPEC.replace(old, new, 1)) == [f"spec.yaml:{said}"]


def test_every_mistake_is_named(load: Any) -> None:
    text = SPEC.replace("size: 96", "size: big").replace("epochs: 7", "epochs: few")
    assert mistakes(load, text) == [
        "spec.yaml:6: modalities.image.size: Input should be a valid integer, not 'big'",
        "spec.yaml:12: training.epochs: Input should be a valid integer, not 'few'",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "spec.yaml: the file is empty"),
        ("# nothing\n", "spec.yaml: the file is empty"),
        ("- name\n", "spec.yaml:1: expected keys such as name, table, label and modalities"),
        ("!!set {name, table}\n", "spec.yaml:1: expected keys such as name, table, label and modalities"),
        ("just words\n", "spec.yaml:1: expected keys such as name, table, label and modalities"),
        ("? [a]\n: b\n", "spec.yaml:1: not valid YAML: found unhashable key"),
        ("a: " + "[" * 5000, "spec.yaml: not valid YAML"),
    ],
)
def test_what_is_no_spec_at_all_is_said_in_one_sentence(load: Any, text: str, said: str) -> None:
    (line,) = mistakes(load, text)
    assert line.startswith(said)


def test_a_spec_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"spec\.yaml: no such file or directory"):
        load_spec(tmp_path / "spec.yaml")


def test_a_spec_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(SpecError, match=r"spec\.yaml: the file is not UTF-8 text"):
        load_spec(tmp_path / "spec.yaml")


def test_overrides_win_over_the_file(load: Any) -> None:
    spec = load(SPEC, "training.epochs=5", "modalities.image.size=[32, 16]", "network.width=8", "version=3")
    assert spec.training.epochs == 5
    assert spec.modalities["image"].size == (32, 16)
    assert (spec.network.width, spec.version) == (8, "3")


@pytest.mark.parametrize("key", ["column", "columns"])
def test_a_series_is_in_one_column_or_in_several(load: Any, key: str) -> None:
    line = f"  trace: {{kind: series, {key}: trace}}\n"
    spec = load(SPEC.replace("training:", f"{line}training:"))
    assert spec.modalities["trace"] == SeriesSpec(
        kind="series", columns=("trace",), length=256, encoder="auto"
    )
    line = f"  trace: {{kind: series, {key}: [x, y], length: 99}}\n"
    spec = load(SPEC.replace("training:", f"{line}training:"))
    assert spec.modalities["trace"].columns == ("x", "y")
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{kind: series}", "11: modalities.trace.columns: is required"),
        ("{kind: series, column: []}", "11: modalities.trace.column: Value should have at least 1 item"),
        ("{kind: series, column: x, length: 0}",
         "11: modalities.trace.length: Input should be greater than or equal to 1, not '0'"),
        ("{kind: series, column: x, lenght: 9}",
         "11: modalities.trace.lenght: unknown key; did you mean 'length'?"),
        ("{kind: series, column: x, columns: y}",
         "11: modalities.trace.column: unknown key; did you mean 'columns'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_series_is_named(load: Any, line: str, said: str) -> None:
    text = SPEC.replace("training:", f"  trace: {line}\ntraining:")
    assert mistakes(load, text) == [f"spec.yaml:{said}"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs=many", "--set: training.epochs: Input should be a valid integer, not 'many'"),
        ("training.epoch=1", "--set: training.epoch: unknown key; did you mean 'epochs'?"),
        ("training.epochs", "--set training.epochs: write key=value, for example training.epochs=5"),
        ("label.x=1", "--set label.x=1: 'label' is not a mapping"),
        ("seed=[", "--set seed=[: the value is not valid YAML"),
        ("seed=!!int abc", "--set seed=!!int abc: the value is not valid YAML"),
        ("seed=!!bool foo", "--set seed=!!bool foo: the value is not valid YAML"),
        ("seed=!!timestamp foo", "--set seed=!!timestamp foo: the value is not valid YAML"),
        (f"a={'[' * 3000}", f"--set a={'[' * 3000}: the value is not valid YAML"),
        (f"seed={2**64}",
         f"--set: seed: Input should be less than or equal to 4294967295, not '{2**64}'"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_named_as_one(load: Any, override: str, said: str) -> None:
    assert mistakes(load, SPEC, override) == [said]


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ({True: 0.9, False: 0.1}, {"true": 0.9, "false": 0.1}),
        ({np.True_: 0.9, np.False_: 0.1}, {"true": 0.9, "false": 0.1}),
        ({1: 0.9, 2.0: 0.1}, {"1": 0.9, "2": 0.1}),
        ({np.int64(1): 0.9, np.float32(2): 0.1}, {"1": 0.9, "2": 0.1}),
        ({"True": 0.9, "2.0": 0.1}, {"True": 0.9, "2.0": 0.1}),
    ],
)
def test_the_classes_of_a_prior_are_spelled_as_labels_are(
    given: dict[Any, float], spelled: dict[str, float]
) -> None:
    keys = {
        "name": "a",
        "table": "a.csv",
        "label": "y",
        "modalities": {"x": {"kind": "text", "columns": "x"}},
    }
    assert make_spec({**keys, "prior": given}).prior == spelled
