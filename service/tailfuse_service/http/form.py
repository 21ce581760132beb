"""Split a multipart form into its parts (RFC 7578), decoded as their headers say."""

import codecs
import quopri
import re
from collections.abc import Iterator, Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from tailfuse_service.errors import BadRequest, InvalidInput, TooManyParts
from tailfuse_service.modalities.base64_text import decode_base64

MAX_SIMPLE_HEAD = 4096
# Searched, parsed or converted by one call, which holds the interpreter's lock: 0.1 to 0.4 ms for so many.
STEP_BYTES = 256 * 1024
BLANK = b"\r\n\r\n"  # between a part's head and its data
MAX_END = len(b"--\r\n") + 1  # longer than any end of a simple form
# The head of a part with nothing in it that needs decoding.
SIMPLE_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([\w .-]+)"(?:; filename="[^"\r\n]*")?'
    rb'(?:\r\nContent-(?:Length: [^\r\n]*|Type: [^\r\n;]*(?:; ?charset="?(?:utf-8|us-ascii)"?)?))*',
    re.IGNORECASE | re.ASCII,
)
UNCHANGED = frozenset((b"", b"binary", b"8bit", b"7bit"))  # transfer encodings
# Other encodings of text that are accepted. Java's clients send ISO-8859-1 unless they are told otherwise.
CHARSETS = frozenset(("iso-8859-1", "iso-8859-15", "windows-1252", "utf-16", "utf-16le", "utf-16be"))


def split_form(body: bytes, boundary: bytes, max_parts: int) -> dict[str, bytes]:
    """Return the parts of a form by name; text is UTF-8.

    Raises TooManyParts, InvalidInput, or BadRequest if the form is damaged or cut short.
    """
    parts = split_simple_form(body, boundary, max_parts)
    return split_any_form(body, boundary, max_parts) if parts is None else parts


def split_simple_form(body: bytes, boundary: bytes, max_parts: int) -> dict[str, bytes] | None:
    """Return the parts of a form as browsers, curl and requests write it; None for any other form.

    The library's parser, which knows all that is allowed, takes 40 us for each part.
    """
    delimiter = b"\r\n--" + boundary
    parts: dict[str, bytes] = {}
    start = len(delimiter) - len(b"\r\n")
    if not body.startswith(delimiter[2:] + b"\r\n"):
        return None
    while (end := find_in_steps(body, delimiter, start)) >= 0:
        # A search of a long head would hold up all threads.
        blank = body.find(BLANK, start, min(start + MAX_SIMPLE_HEAD + len(BLANK), end))
        found = SIMPLE_HEAD.fullmatch(body, start, blank) if blank >= 0 else None
        if found is None or (name := found[1].decode()) in parts or len(parts) == max_parts:
            return None
        parts[name] = body[blank + len(BLANK) : end]
        start = end + len(delimiter)
    # The last boundary is followed by two hyphens.
    return parts if parts and body[start : start + MAX_END] in (b"--", b"--\r\n") else None


def find_in_steps(body: bytes, pattern: bytes, start: int) -> int:
    """Return what `bytes.find` does. Each step is short, because it holds the interpreter's lock."""
    for at in range(start, len(body), STEP_BYTES):
        found = body.find(pattern, at, at + STEP_BYTES + len(pattern) - 1)
        if found >= 0:
            return found
    return -1


def split_any_form(body: bytes, boundary: bytes, max_parts: int) -> dict[str, bytes]:
    """Return what split_form does, of any form."""
    reader = PartReader(max_parts)
    n_parsed = 0
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin_part,
                "on_header_field": reader.add_name,
                "on_header_value": reader.add_value,
                "on_header_end": reader.end_header,
                "on_part_data": reader.add_data,
                "on_part_end": reader.end_part,
            },
        )
        for piece in cut_form(body, boundary):
            parser.write(piece)
            n_parsed += len(piece)
            if parser.state == MultipartState.END:
                break  # the library would log each piece that follows
    except FormParserError as error:
        where = f", counted from byte {n_parsed}" if n_parsed else ""
        raise BadRequest(f"the body is not a multipart form: {error}{where}") from None
    # The library does not say when the last part is cut short.
    if parser.state != MultipartState.END:
        raise BadRequest("the body is not a multipart form: it ends before its last boundary")
    return reader.parts


def cut_form(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Yield a form in pieces, from its first boundary on and without spaces behind that.

    The parser knows neither a preamble nor such spaces.
    """
    delimiter = b"--" + boundary
    start = 0 if body.startswith(delimiter) else find_in_steps(body, b"\r\n" + delimiter, 0) + len(b"\r\n")
    end, line = 0, b""
    if body.startswith(delimiter, start):
        end = find_in_steps(body, b"\r\n", start)
        end = end if end >= 0 else len(body)
        line = body[start:end].rstrip(b" \t")
    yield line + body[end : end + STEP_BYTES]
    for at in range(end + STEP_BYTES, len(body), STEP_BYTES):
        yield body[at : at + STEP_BYTES]


class PartReader:
    """Collects what the parser finds; `parts` has the complete parts by name."""

    def __init__(self, max_parts: int) -> None:
        self.parts: dict[str, bytes] = {}
        self._max_parts = max_parts
        self._name, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._data: list[bytes] = []

    def begin_part(self) -> None:
        """Forget the part before."""
        self._headers, self._data = {}, []

    def add_name(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's name."""
        self._name += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's value."""
        self._value += data[start:end]

    def end_header(self) -> None:
        """Keep a complete header."""
        self._headers[self._name.lower()] = self._value.strip()
        self._name, self._value = b"", b""

    def add_data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the part."""
        self._data.append(data[start:end])

    def end_part(self) -> None:
        """Keep a complete part. Raises BadRequest, TooManyParts, InvalidInput."""
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise BadRequest("a part of the form has no name")
        name = options[b"name"].decode("utf-8", "replace")
        if name in self.parts:
            raise BadRequest(f"the form has two parts called '{name:.80}'")
        if len(self.parts) == self._max_parts:
            raise TooManyParts(f"the form has more than {self._max_parts} parts", expected=self._max_parts)
        self.parts[name] = decode_part(name, self._headers, b"".join(self._data))


def decode_part(name: str, headers: Mapping[bytes, bytes], data: bytes) -> bytes:
    """Return a part as it was before it was encoded, text as UTF-8. Raises InvalidInput."""
    return convert_charset(name, headers, decode_transfer(name, headers, data))


def decode_transfer(name: str, headers: Mapping[bytes, bytes], data: bytes) -> bytes:
    """Undo the Content-Transfer-Encoding. Raises InvalidInput."""
    encoding = headers.get(b"content-transfer-encoding", b"").lower()
    if encoding in UNCHANGED:
        return data
    if encoding == b"quoted-printable":
        return quopri.decodestring(data)
    if encoding == b"base64":
        try:
            return decode_base64(data.decode("ascii"))
        except ValueError:
            raise InvalidInput(
                f"the part '{name:.80}' is not base64, although its Content-Transfer-Encoding is base64",
                modality=f"{name:.80}", expected="base64",
            ) from None  # fmt: skip
    received = encoding.decode("latin-1")
    raise InvalidInput(
        f"the part '{name:.80}' has the Content-Transfer-Encoding '{received:.40}'; binary, base64 or "
        "quoted-printable was expected",
        modality=f"{name:.80}", expected=["binary", "base64", "quoted-printable"], received=f"{received:.40}",
    )  # fmt: skip


def convert_charset(name: str, headers: Mapping[bytes, bytes], data: bytes) -> bytes:
    """Convert text and JSON to UTF-8 from the charset of its Content-Type. Raises InvalidInput."""
    kind, options = parse_options_header(headers.get(b"content-type"))
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    is_text = kind.startswith(b"text/") or kind == b"application/json"
    if not is_text or charset in ("utf-8", "utf8", "us-ascii"):
        return data
    if charset in CHARSETS:
        try:
            return convert_in_steps(data, charset)
        except UnicodeError:
            pass
    expected = "UTF-8 text" if charset not in CHARSETS else f"text in {charset}"
    raise InvalidInput(
        f"the part '{name:.80}' has the charset '{charset:.40}'; {expected} was expected",
        modality=f"{name:.80}", expected=expected, received=f"{charset:.40}",
    )  # fmt: skip


def convert_in_steps(data: bytes, charset: str) -> bytes:
    """Return a text as UTF-8. Raises UnicodeError."""
    if charset == "utf-16" and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        charset = "utf-16le"  # as `bytes.decode` reads it
    decoder = codecs.getincrementaldecoder(charset)()
    starts = range(0, len(data), STEP_BYTES)
    pieces = [decoder.decode(data[at : at + STEP_BYTES]).encode() for at in starts]
    decoder.decode(b"", True)
    return b"".join(pieces)
