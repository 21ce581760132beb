"""Forms as people really send them: encoded parts, byte order marks, preambles, other charsets."""

import base64
import codecs
import json
import re
from typing import Any

import pytest
from python_multipart.multipart import MultipartParser
from starlette.testclient import TestClient
from tailfuse_service.errors import ClientError
from tailfuse_service.http.form import STEP_BYTES, split_form, split_simple_form

KIND = {"content-type": "multipart/form-data; boundary=x"}
END = b"--x--\r\n"
ROW = {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}
BOM = b"\xef\xbb\xbf"


def part(name: str, data: bytes, *lines: str) -> bytes:
    head = "\r\n".join(["--x", f'Content-Disposition: form-data; name="{name}"', *lines])
    return head.encode() + b"\r\n\r\n" + data + b"\r\n"


SPOT = part("notes", "a brown sp\u00f6t".encode())
LATIN = "Content-Type: text/plain; charset=ISO-8859-1"
UNUSUAL = {
    "a preamble": b"This is a form.\r\nOld mail programs show this.\r\n" + SPOT + END,
    "a preamble with half a boundary": b"--y\r\n--\r\n\r\n" + SPOT + END,
    "an empty line first": b"\r\n" + SPOT + END,
    "an epilogue": SPOT + END + b"that was a form",
    "an end without a line break": SPOT + END.rstrip(),
    "spaces behind a boundary": SPOT.replace(b"--x", b"--x \t") + b"--x-- \r\n",
    "spaces behind a later boundary": part("clinical", b"") + SPOT.replace(b"--x", b"--x ") + END,
    "base64": part(
        "notes", base64.b64encode("a brown sp\u00f6t".encode()), "Content-Transfer-Encoding: base64"
    ) + END,
    "base64 in lines, in capitals": part(
        "notes", base64.encodebytes("a brown sp\u00f6t".encode()), "CONTENT-TRANSFER-ENCODING: BASE64"
    ) + END,
    "quoted-printable": part(
        "notes", b"a brown=\r\n sp=C3=B6t", "Content-Transfer-Encoding: quoted-printable"
    ) + END,
    "8bit": part("notes", "a brown sp\u00f6t".encode(), "Content-Transfer-Encoding: 8bit") + END,
    "a byte order mark": part("notes", BOM + "a brown sp\u00f6t".encode()) + END,
    "latin-1": part("notes", "a brown sp\u00f6t".encode("latin-1"), LATIN) + END,
    "quoted charset": part(
        "notes", "a brown sp\u00f6t".encode("cp1252"), 'Content-Type: text/plain; charset="windows-1252"'
    ) + END,
    "UTF-16": part(
        "notes", "a brown sp\u00f6t".encode("utf-16"), "Content-Type: text/plain; charset=utf-16"
    ) + END,
    "latin-1 in base64": part(
        "notes", base64.b64encode("a brown sp\u00f6t".encode("latin-1")), LATIN,
        "Content-Transfer-Encoding: base64",
    ) + END,
    "a charset in capitals": part(
        "notes", "a brown sp\u00f6t".encode(), "Content-Type: text/plain; charset=UTF-8"
    ) + END,
    "a content type with another parameter": part(
        "notes", "a brown sp\u00f6t".encode(), "Content-Type: text/plain; format=flowed"
    ) + END,
}  # fmt: skip


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_form_has_the_same_text(client: TestClient, body: bytes) -> None:
    expected = client.post("/predict", json={"inputs": {"notes": "a brown sp\u00f6t"}}).json()
    answer = client.post("/predict", content=body, headers=KIND)
    assert answer.json().get("probabilities") == expected["probabilities"], answer.text


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_form_has_the_same_bytes(body: bytes) -> None:
    found = split_form(body, b"x", 8)["notes"]
    assert found.removeprefix(BOM) == "a brown sp\u00f6t".encode()


@pytest.mark.parametrize(
    "lines",
    [["Content-Transfer-Encoding: base64"], ["Content-Type: image/png", "Content-Transfer-Encoding: base64"]],
)
def test_an_image_in_base64_is_the_image(client: TestClient, picture: bytes, lines: list[str]) -> None:
    expected = client.post("/predict", files={"image": ("x", picture)}).json()
    body = part("image", base64.encodebytes(picture), *lines) + END
    answer = client.post("/predict", content=body, headers=KIND).json()
    assert answer["probabilities"] == expected["probabilities"]


def test_json_in_a_part_may_begin_with_a_byte_order_mark(client: TestClient) -> None:
    expected = client.post("/predict", json={"inputs": {"clinical": ROW}}).json()
    body = part("clinical", BOM + json.dumps(ROW).encode(), "Content-Type: application/json") + END
    answer = client.post("/predict", content=body, headers=KIND).json()
    assert answer["probabilities"] == expected["probabilities"]


WRONG = {
    "no base64": (part("notes", b"sp!t", "Content-Transfer-Encoding: base64"), "'notes' is not base64"),
    "half of base64": (part("notes", b"YWJjZ", "Content-Transfer-Encoding: base64"), "'notes' is not base64"),
    "uuencode": (part("notes", b"x", "Content-Transfer-Encoding: x-uuencode"), "'x-uuencode'"),
    "an unknown charset": (part("notes", b"x", "Content-Type: text/plain; charset=zlib"), "'zlib'"),
    "not what its charset says": (
        part("notes", b"\xd8\x00\x00", "Content-Type: text/plain; charset=utf-16be"), "text in utf-16be",
    ),
    "UTF-16 that is not declared": (part("notes", "x".encode("utf-16")), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "says"), WRONG.values(), ids=WRONG)
def test_a_part_that_cannot_be_decoded_is_named(client: TestClient, body: bytes, says: str) -> None:
    response = client.post("/predict", content=body + END, headers=KIND)
    assert response.status_code == 422
    assert response.json()["modality"] == "notes"
    assert says in response.json()["detail"]


@pytest.mark.parametrize("lines", [[LATIN], ["Content-Transfer-Encoding: base64"]])
def test_what_needs_decoding_is_not_left_to_the_short_reader(lines: list[str]) -> None:
    assert split_simple_form(part("notes", b"x", *lines) + END, b"x", 8) is None
    plain = part("notes", b"x", "Content-Type: text/plain; charset=utf-8")
    assert split_simple_form(plain + END, b"x", 8) == {"notes": b"x"}


@pytest.mark.parametrize(
    "body", [b"words alone", b"--y\r\n" + SPOT.replace(b"--x", b"--z"), b"\r\n--x", b"words\r\n--x"]
)
def test_a_preamble_without_a_form_is_refused(body: bytes) -> None:
    with pytest.raises(ClientError, match="not a multipart form"):
        split_form(body, b"x", 8)


JSON_BODY = b'{"inputs": {"notes": "spot"}}'


def test_a_json_body_may_begin_with_a_byte_order_mark(client: TestClient) -> None:
    expected = client.post("/predict", content=JSON_BODY).json()
    assert (
        client.post("/predict", content=BOM + JSON_BODY).json()["probabilities"] == expected["probabilities"]
    )
    batch = client.post("/predict/batch", content=BOM + b'{"items": [' + JSON_BODY + b"]}").json()
    assert batch["results"][0]["probabilities"] == expected["probabilities"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (JSON_BODY.decode().encode("utf-16"), "UTF-16; UTF-8 was expected"),
        (JSON_BODY.decode().encode("utf-16le"), "UTF-16; UTF-8 was expected"),
        (JSON_BODY.decode().encode("utf-16be"), "UTF-16; UTF-8 was expected"),
        (BOM, "the body is empty"),
        (BOM + BOM + JSON_BODY, "not JSON"),
        (JSON_BODY + b"}", "not JSON"),
        (JSON_BODY.replace(b"spot", b"sp\xf6t"), "not JSON"),
    ],
)
def test_json_in_another_encoding_is_refused(client: TestClient, body: bytes, says: str) -> None:
    answer: Any = client.post(
        "/predict", content=body, headers={"content-type": "application/json; charset=utf-16"}
    )
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


class Searched(bytes):
    """A body that records how many bytes each search covers. Each holds the interpreter's lock."""

    longest = 0

    def find(self, pattern: Any, start: Any = 0, end: Any = None) -> int:
        end = len(self) if end is None else min(end, len(self))
        Searched.longest = max(Searched.longest, end - start)
        return super().find(pattern, start, end)

    def _refuse(self, *_: Any) -> Any:
        raise AssertionError("it searches or copies the whole body")

    count: Any = _refuse
    split: Any = _refuse
    partition: Any = _refuse
    decode: Any = _refuse


LARGE = bytes(range(1, 256)) * (20 * STEP_BYTES // 255)
LARGE_FORMS = {
    "data": part("notes", LARGE) + END,
    "data in another charset": part("notes", LARGE, "Content-Type: text/plain; charset=iso-8859-1") + END,
    "data of half boundaries": part("notes", b"\r\n--" * (len(LARGE) // 4)) + END,
    "data of whole boundaries": part("notes", b"--x" * (len(LARGE) // 3)) + END,
    "a head": part("notes", b"", "X: " + "a" * len(LARGE)) + END,
    "many heads": part("notes", b"", *["X: a"] * (len(LARGE) // 6)) + END,
    "a preamble": LARGE + b"\r\n" + SPOT + END,
    "an epilogue": SPOT + END + LARGE,
    "no end": part("notes", LARGE),
    "no boundary": LARGE,
}


@pytest.mark.parametrize("body", LARGE_FORMS.values(), ids=LARGE_FORMS.keys())
def test_no_call_searches_or_parses_much_of_a_large_form(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    write = MultipartParser.write

    def counted(parser: MultipartParser, data: bytes) -> int:
        pieces.append(len(data))
        return write(parser, data)

    monkeypatch.setattr(MultipartParser, "write", counted)
    monkeypatch.setattr(Searched, "longest", 0)
    expected: Any = None
    try:
        expected = split_form(body, b"x", 64)
        assert split_form(Searched(body), b"x", 64) == expected
    except ClientError:
        with pytest.raises(ClientError):
            split_form(Searched(body), b"x", 64)
    assert 0 < Searched.longest <= 1.01 * STEP_BYTES
    assert max(pieces, default=0) <= 1.01 * STEP_BYTES


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "utf-16", "utf-16le", "utf-16be"])
@pytest.mark.parametrize("marked", [False, True], ids=["", "with a byte order mark"])
def test_a_long_text_in_another_charset_is_converted_in_steps(charset: str, marked: bool) -> None:
    text = "a brown sp\u00f6t \u00e9" * (STEP_BYTES // 8)
    data = text.encode("utf-16-le" if charset == "utf-16" else charset)
    if marked and charset == "utf-16":
        data = codecs.BOM_UTF16_LE + data
    body = part("notes", data, f"Content-Type: text/plain; charset={charset}") + END
    assert split_form(body, b"x", 64) == {"notes": text.encode()}


def test_a_text_that_ends_inside_a_character_is_refused() -> None:
    body = part("notes", "spot".encode("utf-16-le") + b"a", "Content-Type: text/plain; charset=utf-16") + END
    with pytest.raises(ClientError, match="utf-16"):
        split_form(body, b"x", 64)


def test_an_error_far_into_a_form_says_where() -> None:
    body = part("notes", LARGE) + b"--x\r\nbad header\r\n\r\n" + END
    with pytest.raises(ClientError, match="counted from byte") as refusal:
        split_form(body, b"x", 64)
    at = sum(
        int(number) for number in re.findall(r"at (\d+), counted from byte (\d+)", str(refusal.value))[0]
    )
    assert body[at - len("bad") : at + 1] == b"bad "
