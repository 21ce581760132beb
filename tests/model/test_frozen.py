"""Pretrained encoders: what of them is trained, and the features of a frozen one, computed once."""

import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import SpecError
from tailfuse.modalities import KINDS, ImageSpec
from tailfuse.modalities.image.backbone import Backbone, EncoderSettings, build_on_backbone
from tailfuse.modalities.image.spec import Flips
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.ragged import keep_apart
from tailfuse.modalities.spec import Trained
from tailfuse.modalities.text import TextSpec
from tailfuse.modalities.text.encoder import ProjectedTexts
from tailfuse.modalities.text.lsa import LsaProjection
from tailfuse.network import frozen
from tailfuse.network.build import build_network
from tailfuse.network.frozen import add_frozen_features, compute_backbone_features
from tailfuse.spec.schema import load_spec
from tailfuse_service.modalities import ImageModality, TextModality
from torch import Tensor, nn

TRAINED: tuple[Trained, ...] = ("none", "last", "all")
MODALITY = ImageModality(column="p", height=12, width=16, channels=3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_encoder(trained: Trained, seed: int = 0, flips: Flips = False) -> Pretrained:
    """A small backbone with batch norm, whose second and third convolution are its last block."""
    torch.manual_seed(seed)
    block = nn.Sequential(nn.Conv2d(4, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1))
    network = nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 4, 3, 2), norm=nn.BatchNorm2d(4), blocks=nn.Sequential(nn.ReLU(), block)
        )
    )
    settings = EncoderSettings(5, 0.5, trained, flips)
    return build_on_backbone(network, MODALITY, settings, mean=(0.5,) * 3, std=(0.2,) * 3)


def make_images(n: int) -> Tensor:
    return torch.randint(
        0, 256, (n, 3, 12, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )


@pytest.mark.parametrize(
    ("trained", "learning"),
    [
        ("none", set()),
        ("last", {f"blocks.1.{at}.{kind}" for at in (0, 1, 3) for kind in ("weight", "bias")}),
        ("all", None),
    ],
)
def test_as_much_of_the_backbone_learns_as_is_said(trained: Trained, learning: set[str] | None) -> None:
    encoder = make_encoder(trained)
    encoder.train()(make_images(8)).square().sum().backward()
    network = encoder.get_submodule("backbone.network")
    moved = {name for name, each in network.named_parameters() if each.grad is not None}
    assert moved == (learning if learning is not None else set(dict(network.named_parameters())))
    assert all(each.grad is not None for each in encoder.layers.parameters())


@pytest.mark.parametrize(("trained", "same"), [("none", True), ("last", True), ("all", False)])
def test_batch_norm_keeps_its_statistics_unless_all_is_trained(trained: Trained, same: bool) -> None:
    encoder = make_encoder(trained).train()
    before = {name: value.clone() for name, value in encoder.backbone.named_buffers()}
    encoder(make_images(8))
    after = dict(encoder.backbone.named_buffers())
    assert all(torch.equal(after[name], value) for name, value in before.items()) == same
    assert encoder.layers.training
    assert not encoder.eval().layers.training


def test_the_last_block_of_efficientnet_lite0_is_its_last_stage_and_head() -> None:
    spec = ImageSpec(kind="image", column="p", encoder="efficientnet_lite0", trained="last")
    modality = MODALITY.model_copy(update={"height": 64, "width": 64})
    encoder = KINDS["image"].build_encoder(spec, modality, width=5, dropout=0.5, input_dropout=0.2)
    assert isinstance(encoder, Pretrained)
    learning = {
        ".".join(name.split(".")[3:5])
        for name, each in encoder.backbone.named_parameters("backbone")
        if each.requires_grad
    }
    assert learning == {
        "_blocks.15", "_conv_head.weight", "_bn1.weight", "_bn1.bias"
    }  # fmt: skip


@torch.no_grad()
def test_an_encoder_takes_pictures_or_their_features() -> None:
    encoder = make_encoder("none").eval()
    encoder.scale.fit(encoder.backbone(make_images(9)))
    features = encoder.features(make_images(5))
    assert features.shape == (5, encoder.feature_width)
    torch.testing.assert_close(encoder(features), encoder(make_images(5)))
    assert encoder(features[:0]).shape == encoder(make_images(0)).shape == (0, 5)


@torch.no_grad()
def test_scaled_features_have_mean_0_and_scale_1_and_a_constant_one_is_harmless() -> None:
    encoder = make_encoder("none").eval()
    raw = torch.randn(50, 6) * 3 + 7
    raw[:, 2] = 4.0
    encoder.scale.fit(raw)
    scaled = encoder.scale(raw)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    expected = torch.ones(6)
    expected[2] = 0
    torch.testing.assert_close(scaled.std(0, correction=0), expected, atol=1e-5, rtol=0)


def test_features_are_those_that_the_encoder_computes_and_are_computed_once(lesions: Any, cache: Any) -> None:
    lesions.column("image", [None if i in (0, 9) else row["image"] for i, row in enumerate(lesions.rows)])
    dataset, encoder, reports = lesions.load(), make_encoder("none"), []
    for _ in range(2):
        changed = add_frozen_features(
            dataset, {"image": encoder}, on_progress=lambda *seen: reports.append(seen)
        )
    assert reports == [("image", 8, 22), ("image", 16, 22), ("image", 22, 22)]
    assert len(list(cache.iterdir())) == 1
    for part in ("train", "val", "test"):
        given, made = getattr(dataset, part), getattr(changed, part)
        with torch.no_grad():
            expected = encoder.eval().features(torch.from_numpy(given.batch().inputs["image"]))
        np.testing.assert_allclose(made.batch().inputs["image"], expected, atol=1e-5)
        np.testing.assert_array_equal(made.position["image"], given.position["image"])
        assert made.inputs["clinical"] is given.inputs["clinical"]
    train = changed.train.batch().inputs["image"]
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)  # scaled by the training rows


def test_of_many_texts_those_that_fit_a_projection_are_even_over_the_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frozen, "PROJECTION_ROWS", 6)
    texts = [f"word{at} of {at % 7}" for at in range(20)]
    labels = np.array([0] * 17 + [1, 1, 2])
    spec = TextSpec(kind="text", columns=("t",), buckets=512)
    modality = KINDS["text"].fit("note", spec, pl.DataFrame({"t": texts}), np.arange(20), Path())
    assert isinstance(modality, TextModality)
    rows = [row for text in texts if (row := modality.features("note").apply(text)) is not None]
    part = SplitArrays({"note": keep_apart(rows)}, {"note": np.arange(20)}, labels)
    dataset = Dataset((), {"note": modality}, part, part, part, np.arange(20))

    def build() -> ProjectedTexts:
        projection = LsaProjection(512, 4)
        return ProjectedTexts(projection, modality, width=4, dropout=0.0, input_dropout=0.0)

    encoder, expected = build(), build()
    made = add_frozen_features(dataset, {"note": encoder}).train.inputs["note"]
    kept = np.array([0, 1, 2, 17, 18, 19])  # as many of each class as there are, up to three
    np.testing.assert_array_equal(made, expected.projection.fit_features(part.inputs["note"], kept, seed=0))


def test_pictures_of_an_encoder_that_learns_stay_pictures(lesions: Any) -> None:
    dataset = lesions.load()
    changed = add_frozen_features(dataset, {"image": make_encoder("last"), "clinical": nn.Identity()})
    assert changed.train.inputs["image"] is dataset.train.inputs["image"]


def test_other_weights_other_layers_and_other_pictures_have_other_features(cache: Any) -> None:
    rows = make_images(4).numpy()
    compute_backbone_features(make_encoder("none").backbone, rows)
    compute_backbone_features(make_encoder("none", seed=1).backbone, rows)
    compute_backbone_features(make_encoder("none").backbone, 255 - rows)
    strided = make_encoder("none").backbone
    convolution = strided.get_submodule("network.blocks.1.0")
    assert isinstance(convolution, nn.Conv2d)
    convolution.stride = (1, 1)
    compute_backbone_features(strided, rows)
    compute_backbone_features(make_encoder("none", flips=True).backbone, rows)
    compute_backbone_features(make_encoder("none", flips="horizontal").backbone, rows)
    assert len(list(cache.iterdir())) == 6


@pytest.mark.parametrize(("flips", "axes"), [(True, [(3,), (2,), (2, 3)]), ("horizontal", [(3,)])])
@torch.no_grad()
def test_with_flips_mirror_images_have_the_same_features(flips: Flips, axes: list[tuple[int, ...]]) -> None:
    encoder, plain, rows = (
        make_encoder("none", flips=flips).eval(),
        make_encoder("none").eval(),
        make_images(5),
    )
    images = [rows, *(rows.flip(each) for each in axes)]
    expected = torch.stack([plain.features(each) for each in images]).mean(0)
    for each in images:
        torch.testing.assert_close(encoder.features(each), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(plain.features(rows), expected, atol=1e-3)
    assert torch.allclose(encoder.features(rows.flip(2)), expected, atol=1e-5) == (flips is True)
    assert encoder(rows[:0]).shape == (0, 5)


@pytest.mark.parametrize("flips", ["vertical", "2", "[true]"])
def test_only_two_or_four_mirror_images_are_taken(lesions: Any, flips: str) -> None:
    said = r"image\.flips: takes true \(all four mirror images\), horizontal \(two\) or false"
    with pytest.raises(SpecError, match=said):
        load_spec(
            lesions.write(),
            ["modalities.image.encoder=efficientnet_lite0", f"modalities.image.flips={flips}"],
        )


@pytest.mark.parametrize("flips", [False, True, "horizontal"])
@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
@torch.no_grad()
def test_a_graph_of_a_frozen_encoder_takes_pictures(tmp_path: Path, runtime: str, flips: Flips) -> None:
    encoder = make_encoder("none", flips=flips).eval()
    encoder.scale.fit(encoder.backbone(make_images(30)))
    rows = make_images(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if runtime == "onnx":
            shapes = ({0: torch.export.Dim.DYNAMIC},)
            program = torch.onnx.export(
                encoder, (rows[:3],), dynamo=True, dynamic_shapes=shapes, verbose=False
            )
            assert program is not None
            program.save(tmp_path / "encoder.onnx")
            session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
            name = session.get_inputs()[0].name
            answers = [session.run(None, {name: each.numpy()})[0] for each in (rows, rows[:0])]
        else:
            graph = torch.jit.freeze(torch.jit.trace(encoder, (rows[:3],)))
            answers = [graph(each).numpy() for each in (rows, rows[:0])]
    np.testing.assert_allclose(answers[0], encoder(rows), atol=1e-4)
    assert answers[1].shape == (0, 5)


@pytest.mark.parametrize(
    ("encoder", "trained", "said"),
    [
        (
            "small_cnn",
            "last",
            "is to be left out with small_cnn, which has no pretrained weights and is always trained",
        ),
        (
            "small_cnn",
            "all",
            "is to be left out with small_cnn, which has no pretrained weights and is always trained",
        ),
        ("efficientnet_lite0", "first", "Input should be 'none', 'last' or 'all'"),
    ],
)
def test_what_cannot_be_trained_so_is_named(lesions: Any, encoder: str, trained: str, said: str) -> None:
    image = "modalities.image"
    with pytest.raises(SpecError, match=f"{image}.trained: {said}, not '{trained}'"):
        load_spec(lesions.write(), [f"{image}.encoder={encoder}", f"{image}.trained={trained}"])


@pytest.mark.parametrize(
    ("encoder", "trained"),
    [("small_cnn", "none"), ("timm/resnet10t", "last"), *(("efficientnet_lite0", each) for each in TRAINED)],
)
def test_what_can_be_trained_so_is_taken(lesions: Any, encoder: str, trained: str) -> None:
    image = "modalities.image"
    spec = load_spec(lesions.write(), [f"{image}.encoder={encoder}", f"{image}.trained={trained}"])
    modality = spec.modalities["image"]
    assert isinstance(modality, ImageSpec)
    assert modality.trained == trained


def test_a_small_cnn_is_not_flipped_and_a_pretrained_encoder_is_built_as_the_spec_says(lesions: Any) -> None:
    image = "modalities.image"
    with pytest.raises(SpecError, match=f"{image}.flips: is for pretrained encoders, not for small_cnn"):
        load_spec(lesions.write(), [f"{image}.flips=true"])
    said = [f"{image}.encoder=efficientnet_lite0", f"{image}.trained=last", f"{image}.flips=true"]
    spec = load_spec(lesions.write(), said)
    with pytest.raises(SpecError, match=f"{image}.size: .* takes 32 x 32 pixels at least, not 12 x 16"):
        build_network(spec, lesions.load())
    network = build_network(spec, lesions.load(f"{image}.size=32"))
    (encoder,) = (each for each in network.modules() if isinstance(each, Pretrained))
    assert isinstance(encoder.backbone, Backbone)
    assert (encoder.trained, encoder.backbone.flips) == ("last", True)
