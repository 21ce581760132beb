"""`trained: last`: what the final network and the fold networks train, and what they begin with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.modalities.image.backbone import Backbone
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.network.build import AnyNetwork
from tailfuse.spec.schema import Spec, load_spec
from tailfuse.training import fit as module
from tailfuse.training.fit import train_stages
from tailfuse.training.loop import Stage, fit_network
from torch import Tensor

from tests.support.tiny_libraries import install_tiny_libraries, make_timm_net, make_weights


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_tiny_libraries(monkeypatch)
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def load(leaves_in: Any, tmp_path: Path) -> Callable[[str], tuple[Spec, Dataset]]:
    """`load(trained)` is a spec and the leaves, with a pretrained encoder for their pictures."""
    save_file(make_weights(make_timm_net()), tmp_path / "w.safetensors")
    path = leaves_in(tmp_path)
    picture = {"encoder": "w.safetensors", "architecture": "tinynet", "size": 24}
    overrides = [f"modalities.picture.{key}={value}" for key, value in picture.items()]

    def begin(trained: str) -> tuple[Spec, Dataset]:
        spec = load_spec(
            path, [*overrides, f"modalities.picture.trained={trained}", "training.learning_rate=0.02"]
        )
        return spec, load_dataset(spec)

    return begin


def find_encoder(network: AnyNetwork) -> Pretrained:
    (encoder,) = (each for each in network.encoders if isinstance(each, Pretrained))
    return encoder


def list_weights(network: AnyNetwork) -> dict[str, Tensor]:
    backbone = find_encoder(network).backbone
    assert isinstance(backbone, Backbone)
    return backbone.network.state_dict()


def test_every_fold_tunes_the_last_block_of_the_same_weights_and_nothing_before_it(load: Any) -> None:
    stages = train_stages(*load("last"))
    networks = [stages.network, *(network for network, _ in stages.folds)]
    assert len(networks) == 3
    start = make_timm_net()
    make_weights(start)
    begun = start.state_dict()
    tuned = [list_weights(network) for network in networks]
    for name, value in begun.items():
        learns = name.startswith("blocks.1.") and name.endswith(("weight", "bias"))
        if name.startswith("classifier."):
            continue
        for each in tuned:
            assert torch.equal(each[name], value) == (not learns), name
        if learns:
            assert not torch.equal(tuned[1][name], tuned[2][name]), name


def test_no_fold_learns_from_the_rows_that_it_scores(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: dict[str, Any] = {}

    def spy(fabric: Any, network: Any, stage: Stage, *rest: Any) -> Any:
        trained[stage.name] = stage
        return fit_network(fabric, network, stage, *rest)

    monkeypatch.setattr(module, "fit_network", spy)
    spec, dataset = load("last")
    stages = train_stages(spec, dataset)
    pictures = dataset.train.position["picture"]
    for at, (_, held) in enumerate(stages.folds):
        stage = trained[f"fold-{at}"]
        learnt, scored = (set(part.position["picture"]) - {-1} for part in (stage.train, held))
        assert learnt | scored == set(pictures) - {-1}
        assert not learnt & scored
        assert stage.train.inputs["picture"].ndim == 4  # images, not features
        assert list(stage.augmentations) == ["picture"]


@pytest.mark.parametrize("trained", ["last", "all"])
def test_an_encoder_that_is_trained_begins_with_scaled_features(load: Any, trained: str) -> None:
    spec, dataset = load(trained)
    stages = train_stages(spec, dataset)
    scales = [
        find_encoder(network).scale for network in (stages.network, *(each for each, _ in stages.folds))
    ]
    frozen = train_stages(*load("none"))
    for scale in scales:
        torch.testing.assert_close(scale.state_dict(), find_encoder(frozen.network).scale.state_dict())
    assert not torch.equal(scales[0].scale, torch.ones_like(scales[0].scale))
