"""Two readers of forms: the short one gives what the library's parser gives, or leaves it to that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.errors import ClientError, TooManyParts
from tailfuse_service.http.form import split_any_form, split_form, split_simple_form

PIECES = (
    b"--x", b"--x--", b"\r\n", b"\n", b"--", b"x", b" ", b"",
    b'Content-Disposition: form-data; name="image"; filename="a.jpg"',
    b'content-disposition: form-data; name="b"',
    b'Content-Disposition: form-data; name=""', b'Content-Disposition: form-data; name="a\\"b"',
    b"Content-Disposition: form-data; name*=utf-8''b", b"Content-Type: text/plain", b"Content-Length: 3",
    b"Content-Transfer-Encoding: base64", b"AAEC", b'{"age": 61}', b"\xff\x00",
)  # fmt: skip
FORM = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--x--\r\n'


@given(st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join))
def test_the_short_reader_never_says_anything_else(body: bytes) -> None:
    short = split_simple_form(body, b"x", 8)
    if short is not None:
        assert split_any_form(body, b"x", 8) == short


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_ .-]{1,12}", fullmatch=True),
        st.binary(max_size=40).filter(lambda data: b"--x" not in data),
        min_size=1,
        max_size=4,
    )
)
def test_the_short_reader_takes_what_browsers_send(parts: dict[str, bytes]) -> None:
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\nContent-Type: a/b\r\n\r\n%s\r\n'
        % (name.encode(), data)
        for name, data in parts.items()
    )
    assert split_simple_form(body + b"--x--\r\n", b"x", 4) == parts
    assert split_any_form(body + b"--x--\r\n", b"x", 4) == parts


@pytest.mark.parametrize("name", [b"caf\xc3\xa9", b"a%22b", b'a\\"b', b""])
def test_the_short_reader_leaves_odd_names_to_the_parser(name: bytes) -> None:
    body = FORM % (name, b"1")
    assert split_simple_form(body, b"x", 4) is None
    assert len(split_form(body, b"x", 4)) == 1


def test_both_readers_count_the_parts() -> None:
    body = FORM.replace(b"--x--\r\n", b"") % (b"a", b"1") + FORM % (b"b", b"2")
    assert split_form(body, b"x", 2) == {"a": b"1", "b": b"2"}
    with pytest.raises(TooManyParts):
        split_form(body, b"x", 1)
    with pytest.raises(ClientError, match="two parts"):
        split_form(body.replace(b'"b"', b'"a"'), b"x", 2)
