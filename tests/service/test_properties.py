"""What must hold for every sample, whoever it shares a batch with."""

import base64
import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tailfuse_service.bundle import Bundle, Output
from tailfuse_service.bundle.answer import format_answer, make_predictions

pictures = st.tuples(*[st.integers(0, 255)] * 3).map(lambda colour: Image.new("RGB", (6, 8), colour))


def encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


modalities = {
    "image": pictures.map(encoded),
    "clinical": st.fixed_dictionaries(
        {"age": st.floats(-1e3, 1e3)},
        optional={
            "pulse": st.integers(0, 300),
            "smoker": st.booleans(),
            "site": st.sampled_from(["back", "x"]),
        },
    ),
    "notes": st.text(st.sampled_from("abc "), min_size=1, max_size=30).filter(lambda text: text.strip()),
}
inputs = st.fixed_dictionaries({}, optional=modalities).filter(bool)


@given(st.lists(inputs, min_size=1, max_size=9), st.data())
@settings(max_examples=60)
def test_the_answer_is_the_same_alone_and_beside_any_neighbours(
    bundle: Bundle, items: Any, data: Any
) -> None:
    samples = [bundle.sample(item) for item in items]
    at = data.draw(st.integers(0, len(items) - 1))
    together, alone = bundle.run(samples), bundle.run([samples[at]])
    for name in ("probabilities", "weights", "confidences"):
        np.testing.assert_allclose(getattr(together, name)[at], getattr(alone, name)[0], atol=1e-5)


@given(inputs)
@settings(max_examples=60)
def test_leaving_a_modality_out_equals_sending_null(bundle: Bundle, item: Any) -> None:
    with_null = {name: item.get(name) for name in bundle.features}
    left_out, absent = bundle.run([bundle.sample(item)]), bundle.run([bundle.sample(with_null)])
    np.testing.assert_array_equal(left_out.probabilities, absent.probabilities)
    np.testing.assert_array_equal(left_out.weights, absent.weights)


@given(st.lists(inputs, min_size=1, max_size=9))
@settings(max_examples=60)
def test_weights_sum_to_one_over_what_is_present_and_are_zero_elsewhere(bundle: Bundle, items: Any) -> None:
    batch = bundle.collate([bundle.sample(item) for item in items])
    output = bundle.runtime.run(batch)
    np.testing.assert_allclose(output.weights.sum(1), 1, atol=1e-5)
    assert (output.weights[~batch.presence] == 0).all()
    assert (output.weights >= 0).all()


@given(st.integers(1, 5), st.integers(2, 6), st.randoms(use_true_random=False))
def test_a_prediction_is_its_row_sorted(bundle: Bundle, size: int, n_classes: int, random: Any) -> None:
    probabilities = np.random.default_rng(random.randint(0, 2**32)).dirichlet([1] * n_classes, size)
    presence = np.ones((size, 3), np.bool_)
    shares = np.full((size, 3), 1 / 3, np.float32)
    names = [f"class {i}" for i in range(n_classes)]
    output = Output(probabilities.astype(np.float32), shares, shares)
    for row, prediction in zip(probabilities, make_predictions(output, presence, names), strict=True):
        answer = format_answer(prediction, bundle.manifest, request_id="x")
        assert answer["label"] == names[int(row.argmax())]
        assert list(answer["probabilities"].values()) == sorted(
            answer["probabilities"].values(), reverse=True
        )
        for name, probability in zip(names, row, strict=True):
            assert abs(answer["probabilities"][name] - probability) < 1e-5
