"""Base64 is read in every form that people send, and nothing else is."""

import base64
import io
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tailfuse_service.modalities.base64_text import decode_base64
from tailfuse_service.modalities.series.features import read_steps

FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "a trailing newline": lambda text: text + "\n",
    "lines of 76, as MIME has them": lambda text: "\r\n".join(textwrap.wrap(text, 76)) + "\r\n",
    "lines of 64": lambda text: "\n".join(textwrap.wrap(text, 64)),
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "no padding": lambda text: text.rstrip("="),
    "padded twice": lambda text: text + "==",
    "padding on a line of its own": lambda text: text.rstrip("=") + "\n" + "=" * (-len(text.rstrip("=")) % 4),
    "indented": lambda text: "\t  " + text,
    "a data URL": lambda text: f"data:image/png;base64,{text}",
    "a data URL in capitals": lambda text: f" DATA:image/png;charset=utf-8;BASE64,{text}",
    "a data URL with escapes": lambda text: (
        "data:;base64," + text.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
    ),
    "a data URL with line breaks": lambda text: "data:;base64,\n" + "\n".join(textwrap.wrap(text, 76)),
    "URL-safe without padding, in lines": lambda text: "\n".join(
        textwrap.wrap(text.replace("+", "-").replace("/", "_").rstrip("="), 20)
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(data=st.binary(min_size=1, max_size=200) | st.just(bytes(range(256)) + b"\xfb\xff"))
def test_every_form_has_the_same_bytes(form: Callable[[str], str], data: bytes) -> None:
    assert decode_base64(form(base64.b64encode(data).decode())) == data


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA==BB==", "AB=C", "AAAA!", "AAAA\0", "\xe4AAA", "AAAA\u2028", "\ud800", "%41%41%41%41",
     "data:AAAA", "data:", "=", "====", "image/png;base64,AAAA", "http://example.org/a.png"],
)  # fmt: skip
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|ascii|padding"):
        decode_base64(text)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_image_is_answered_alike_in_every_form(
    client: TestClient, picture: bytes, form: Callable[[str], str]
) -> None:
    text = base64.b64encode(picture).decode()
    expected = client.post("/predict", json={"inputs": {"image": text}}).json()
    answer = client.post("/predict", json={"inputs": {"image": form(text)}}).json()
    assert answer["probabilities"] == expected["probabilities"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_series_is_read_alike_in_every_form(form: Callable[[str], str]) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(12.0).reshape(6, 2))
    steps = read_steps("ecg", form(base64.b64encode(file.getvalue()).decode()), ["ecg"])
    assert steps is not None
    assert steps.tolist() == np.arange(12.0).reshape(6, 2).tolist()
