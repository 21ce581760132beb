"""Fixed features of series: what they tell apart, and that nothing of them is trained."""

import numpy as np
import pytest
import torch
from tailfuse.modalities.series.fixed import FixedFeatures, FixedSeries, Spectrum, make_bands, pool
from tailfuse_service.modalities import SeriesModality
from tailfuse_service.modalities.series import Channel
from torch import Tensor


def make_modality(channels: int, length: int) -> SeriesModality:
    return SeriesModality(columns=("s",), channels=(Channel(mean=0, scale=1),) * channels, length=length)


def make_row(series: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Tensor:
    """One row of one channel with its mask."""
    return torch.from_numpy(np.stack([series, np.ones(len(series))], 1).astype(np.float32))[None]


def make_tone(cycles_per_step: float, steps: int = 2000) -> Tensor:
    return make_row(np.sqrt(2) * np.sin(2 * np.pi * cycles_per_step * np.arange(steps)))


def test_two_tones_have_their_power_in_other_bands() -> None:
    spectrum = Spectrum(2000)
    n_bands = spectrum.bands.shape[1]
    loudest = []
    for tone in (0.02, 0.1, 0.3):
        row = make_tone(tone).transpose(1, 2)
        mean = spectrum(row[:, :1], row[:, 1:])[0, :n_bands]
        frequency = tone * spectrum.window  # a bin of the spectrum
        loudest.append(int(mean.argmax()))
        assert loudest[-1] == pytest.approx(int(spectrum.bands[round(frequency)].argmax()), abs=1)
    assert loudest == sorted(set(loudest))


def test_the_order_of_two_tones_matters() -> None:
    features = FixedFeatures(make_modality(1, 2000))
    low, high = make_tone(0.02, 1000), make_tone(0.2, 1000)
    there, back = features(torch.cat([low, high], 1)), features(torch.cat([high, low], 1))
    assert (there - back).abs().max() > 1


def test_every_band_hears_something() -> None:
    for n_frequencies in (5, 17, 129):
        bands = make_bands(n_frequencies)
        assert bands.sum(0) == pytest.approx(1.0)
        assert (bands >= 0).all()


@pytest.mark.parametrize("length", [1, 2, 9, 40, 300])
def test_a_flat_series_and_the_shortest_have_finite_features(length: int) -> None:
    features = FixedFeatures(make_modality(2, length))
    for value in (0.0, 1.0, -1e6):
        rows = torch.full((2, min(length, 40), 3), value)
        rows[:, :, -1] = 1
        assert features(rows).isfinite().all()


def test_features_do_not_depend_on_a_seed_and_are_not_trained() -> None:
    torch.manual_seed(0)
    first = FixedSeries(make_modality(2, 64), width=4, dropout=0.0)
    torch.manual_seed(1)
    second = FixedSeries(make_modality(2, 64), width=4, dropout=0.0)
    assert not list(first.backbone.parameters())
    for one, other in zip(first.backbone.buffers(), second.backbone.buffers(), strict=True):
        assert torch.equal(one, other)


def test_means_of_steps_leave_out_padding() -> None:
    series, mask = torch.tensor([[[1.0, 3.0, 5.0, 0.0, 0.0, 0.0, 0.0]]]), torch.ones(1, 1, 7)
    mask[:, :, 3:] = 0
    pooled, left = pool(series, mask, 2)
    assert pooled.tolist() == [[[2.0, 5.0, 0.0, 0.0]]]
    assert left.tolist() == [[[1.0, 1.0, 0.0, 0.0]]]
