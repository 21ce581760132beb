"""Fusions by quality, by evidence and by three experts: each against its formula."""

import math

import numpy as np
import pytest
import torch
from tailfuse.errors import SpecError
from tailfuse.losses.imbalance import make_loss
from tailfuse.modalities.text.encoder import ProjectedTexts
from tailfuse.modalities.text.lsa import LsaProjection
from tailfuse.network.baselines.qmf import QualityAware, compute_ranking_losses
from tailfuse.network.baselines.sade_mm import SadeMM
from tailfuse.network.baselines.tmc import (
    Opinion,
    TrustedMultiView,
    combine,
    combine_all,
    compute_divergence,
    compute_evidential_loss,
    form_opinions,
    recover_evidence,
)
from tailfuse.network.parallel import ParallelEncoders, ParallelLayers, run_parallel
from tailfuse_service.modalities import TextModality
from torch import Tensor, nn
from torch.distributions import Dirichlet, kl_divergence

COUNTS = torch.tensor([40.0, 20.0, 10.0, 5.0])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_dempsters_rule_by_hand() -> None:
    evidence = torch.tensor([[[4.0, 0.0], [0.0, 2.0]]])
    opinions = form_opinions(evidence, torch.tensor([[True, True]]))
    torch.testing.assert_close(opinions.unknown, torch.tensor([[1 / 3, 1 / 2]]))
    combined = combine_all(opinions)
    torch.testing.assert_close(combined.beliefs, torch.tensor([[0.5, 0.25]]))
    torch.testing.assert_close(combined.unknown, torch.tensor([0.25]))
    torch.testing.assert_close(recover_evidence(combined), torch.tensor([[4.0, 2.0]]))


def test_who_knows_nothing_changes_no_opinion_and_the_order_does_not_matter() -> None:
    one = Opinion(torch.tensor([[0.6, 0.1]]), torch.tensor([0.3]))
    nothing = Opinion(torch.zeros(1, 2), torch.ones(1))
    other = Opinion(torch.tensor([[0.2, 0.3]]), torch.tensor([0.5]))
    for a, b in zip(combine(one, nothing), one, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(combine(one, other), combine(other, one), strict=True):
        torch.testing.assert_close(a, b)


def test_the_evidential_loss_is_an_expectation_over_the_dirichlet_distribution() -> None:
    evidence = torch.tensor([3.0, 0.5, 1.0])
    target = torch.tensor([0.0, 1.0, 0.0])
    draws = Dirichlet(evidence + 1).sample(torch.Size([200_000]))
    expected = -draws[:, 1].log().mean()
    torch.testing.assert_close(compute_evidential_loss(evidence, target, 0.0), expected, atol=0.02, rtol=0)
    alpha = torch.tensor([4.0, 1.0, 2.0])  # without what speaks for the true class
    divergence = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones(3)))
    torch.testing.assert_close(compute_divergence(alpha), divergence)
    both = compute_evidential_loss(evidence, target, 1.0) - compute_evidential_loss(evidence, target, 0.0)
    torch.testing.assert_close(both, divergence)


def test_evidence_answers_free_of_the_training_prior_where_the_loss_corrects_it() -> None:
    rows, presence = torch.randn(5, 1, 6), torch.ones(5, 1, dtype=torch.bool)
    plain = TrustedMultiView(1, 6, make_loss("cross_entropy", COUNTS, ()), 4, 0.0).eval()
    adjusted = TrustedMultiView(1, 6, make_loss("logit_adjustment", COUNTS, ()), 4, 0.0).eval()
    adjusted.load_state_dict(plain.state_dict())
    balanced = plain(rows, presence).log_p - (COUNTS / COUNTS.sum()).log()
    torch.testing.assert_close(adjusted(rows, presence).log_p, balanced.log_softmax(-1))


def test_energies_weigh_the_logits_by_hand() -> None:
    fusion = QualityAware(2, 3, make_loss("cross_entropy", COUNTS, ()), 4, 0.0).eval()
    rows = torch.randn(1, 2, 3) * 4
    first, second = fusion.compute_logits(rows)[0, :, 0]
    energies = [max(each.exp().sum().log().item() / 10, 1e-3) for each in (first, second)]
    fused = fusion(rows, torch.tensor([[True, True]]))
    torch.testing.assert_close(fused.log_p[0], (energies[0] * first + energies[1] * second).log_softmax(-1))
    assert fused.weights[0].tolist() == pytest.approx([each / sum(energies) for each in energies])


def test_of_two_rows_the_worse_shall_have_less_energy_by_as_much_as_their_losses_differ() -> None:
    here = torch.ones(2, 1, dtype=torch.bool)
    losses = torch.tensor([[2.0], [1.0]])  # scaled: 1 and 0.5

    def rank(worse: float, better: float) -> float:
        return compute_ranking_losses(torch.tensor([[worse], [better]]), losses, here).item()

    assert rank(0.1, 0.7) == 0
    assert rank(0.3, 0.3) == pytest.approx(0.5)
    assert rank(0.5, 0.2) == pytest.approx(0.8)
    alone = torch.tensor([[True], [False]])
    assert compute_ranking_losses(torch.tensor([[0.5], [0.2]]), losses, alone).item() == 0


def make_sade_mm(loss: str = "sade", n_modalities: int = 2, width: int = 3) -> SadeMM:
    return SadeMM(n_modalities, width, make_loss(loss, COUNTS, (0.0, 1.0)), 4, 0.0)


def test_experts_see_their_own_embeddings_times_the_confidences() -> None:
    fusion = make_sade_mm().eval()
    rows = torch.randn(1, 2, 12)
    first, second, third, last = rows[0].split(3, dim=1)
    scale = torch.stack([rate(last[m])[0] for m, rate in enumerate(fusion.confidences)])
    logits = [
        layer((scale[:, None] * each).flatten())
        for layer, each in zip(fusion.experts, (first, second, third), strict=True)
    ]
    fused = fusion(rows, torch.tensor([[True, True]]))
    torch.testing.assert_close(fused.log_p[0], torch.stack(logits).mean(0).log_softmax(-1))
    fusion.expert_weights.copy_(torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(fusion(rows, torch.tensor([[True, True]])).log_p[0], logits[1].log_softmax(-1))


def test_the_losses_of_sade_mm_by_hand() -> None:
    fusion = make_sade_mm(n_modalities=1).train()
    rows, present = torch.randn(1, 1, 12), torch.ones(1, 1)
    target = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    logits, estimates = fusion.compute_logits(rows, present)
    prior = COUNTS / COUNTS.sum()
    added = [torch.zeros(4), prior.log(), prior.log() - 2 * prior.flip(0).log()]
    experts = [-(each + more).log_softmax(-1)[2] for each, more in zip(logits[0], added, strict=True)]
    balanced = -(estimates.logits[0, 0] + prior.log()).log_softmax(-1)[2]
    wrong = (estimates.confidences[0, 0] - estimates.logits[0, 0].softmax(-1)[2]) ** 2
    loss = fusion.loss(rows, present > 0, present, target, 0.0)
    torch.testing.assert_close(loss, torch.stack(experts).mean() + balanced + wrong)


def test_a_confidence_may_be_below_zero_and_then_has_hardly_a_weight() -> None:
    fusion = make_sade_mm().eval()
    with torch.no_grad():
        for layer, bias in zip(fusion.confidences, (-3.0, 0.5), strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.zero_()
            layer.bias.fill_(bias)
    fused = fusion(torch.randn(2, 2, 12), torch.ones(2, 2, dtype=torch.bool))
    assert fused.weights[:, 1].tolist() == pytest.approx([0.5 / 0.501] * 2)


def test_sade_mm_needs_a_loss_with_experts() -> None:
    assert make_sade_mm("experts").sets == 3
    with pytest.raises(SpecError, match=r"network\.loss must be sade or experts"):
        make_sade_mm("abc")


def test_the_third_expert_of_sade_leans_to_rare_classes() -> None:
    """At logits of 0 its answer is as the loss makes it; the order of the classes does not matter."""
    order = torch.tensor([2, 0, 3, 1])
    costs = make_loss("sade", COUNTS, ()).costs(torch.zeros(3, 4), 0.0)
    shuffled = make_loss("sade", COUNTS[order], ()).costs(torch.zeros(3, 4), 0.0)
    torch.testing.assert_close(shuffled, costs[order])
    prior = (COUNTS / COUNTS.sum()).double().numpy()
    third = prior / prior[::-1] ** 2
    expected = -(math.log(1 / 4) + np.log(prior) + np.log(third / third.sum())) / 3
    np.testing.assert_allclose(costs.numpy(), expected, rtol=1e-5)


class Encoder(nn.Module):
    """Features and layers, as all encoders have them."""

    ragged = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.layers = nn.Linear(5, width), nn.Sequential(nn.Linear(width, 2))

    def extract_features(self, rows: Tensor) -> Tensor:
        features: Tensor = self.first(rows)
        return features


def test_encoders_side_by_side_answer_as_each_alone() -> None:
    encoders = [Encoder(3), Encoder(4)]
    rows = torch.randn(6, 5)
    together = run_parallel(encoders)
    assert isinstance(together, ParallelEncoders)
    assert together.ragged
    expected = torch.cat([each.layers(each.extract_features(rows)) for each in encoders], 1)
    torch.testing.assert_close(together(rows), expected)
    assert run_parallel(encoders[:1]) is encoders[0]


def test_layers_side_by_side_share_the_features() -> None:
    layers = [nn.Linear(5, 2), nn.Linear(5, 2)]
    rows = torch.randn(6, 5)
    torch.testing.assert_close(ParallelLayers(layers)(rows), torch.cat([each(rows) for each in layers], 1))


def test_encoders_of_texts_share_what_is_frozen() -> None:
    modality = TextModality(
        columns=("t",), encoder="lsa", buckets=8, ngrams=1, max_tokens=8, dimensions=3, known=b"AAAAAA=="
    )
    encoders = [
        ProjectedTexts(LsaProjection(8, 3), modality, width=2, dropout=0.0, input_dropout=0.0)
        for _ in range(2)
    ]
    alone = [each.layers for each in encoders]
    together = run_parallel(encoders)
    assert isinstance(together, ProjectedTexts)  # so that its projection is fitted
    features = torch.randn(4, 3)
    torch.testing.assert_close(together(features), torch.cat([layers(features) for layers in alone], 1))
