"""Bodies that are refused, and how."""

JSON = {"content-type": "application/json"}


INPUTS = {
    "a picture that is none": ({"image": "AAAA"}, "undecodable-image", "modality 'image'"),
    "a picture that is not base64": ({"image": "not base64!"}, "invalid-input", "not base64"),
    "a picture that is a number": ({"image": 7}, "invalid-input", "not a number"),
    "a string for a number": ({"clinical": {"age": "old"}}, "invalid-input", "column 'age'"),
    "an array for a number": ({"clinical": {"age": [61]}}, "invalid-input", "column 'age'"),
    "a number for a boolean": ({"clinical": {"smoker": 2}}, "invalid-input", "column 'smoker'"),
    "an array for a category": ({"clinical": {"site": ["back"]}}, "invalid-input", "column 'site'"),
    "a number too large": ({"clinical": {"age": 1e300}}, "not-finite", "column 'age'"),
    "too few values": ({"clinical": [1, 2]}, "invalid-input", "2 values, 4 expected"),
    "a string for a row": ({"clinical": "x"}, "invalid-input", "not a string"),
    "an unknown column": ({"clinical": {"ages": 1}}, "unknown-column", "no column 'ages'"),
    "an unknown column of a text": ({"notes": {"tilte": "x"}}, "unknown-column", "no column 'tilte'"),
    "a number for a text": ({"notes": 7}, "invalid-input", "not a number"),
    "a number for a text's column": ({"notes": {"title": 7}}, "invalid-input", "column 'title'"),
    "an unknown modality": ({"smell": 1}, "unknown-modality", "'smell'"),
    "nothing": ({}, "missing-modality", "image, clinical, notes"),
    "nothing but nulls": ({"image": None, "clinical": {"age": None}}, "missing-modality", "no modality"),
}


BODIES = {
    "an empty body": (b"", 400, "bad-request", "empty"),
    "half a body": (b'{"inputs": {', 400, "bad-request", "line 1 column"),
    "bytes that are no text": (b'{"inputs": "\xff"}', 400, "bad-request", "UTF-8"),
    "half a surrogate pair": (b'{"inputs": {"notes": "\\ud800"}}', 400, "bad-request", "surrogate"),
    "NaN beside half a surrogate pair": (
        b'{"inputs": {"clinical": {"age": NaN}, "notes": "\\ud800"}}', 400, "bad-request", "line 1 column",
    ),
    "a thousand brackets": (b'{"inputs":' + b"[" * 5000, 400, "too-deep", "more than 32 deep"),
    "NaN": (b'{"inputs": {"clinical": {"age": NaN}}}', 422, "not-finite", "column 'age'"),
    "-Infinity": (b'{"inputs": {"clinical": {"age": -Infinity}}}', 422, "not-finite", "not -Infinity"),
    "a number too far": (b'{"inputs": {"clinical": {"age": 1e999}}}', 422, "not-finite", "column 'age'"),
    "NaN where no number belongs": (b'{"inputs": {"notes": NaN}}', 422, "invalid-input", "modality 'notes'"),
    "an array": (b"[]", 422, "invalid-input", "not an array"),
    "null": (b"null", 422, "invalid-input", "not null"),
    "no inputs": (b"{}", 422, "invalid-input", "must have the key 'inputs'"),
    "an unknown key": (b'{"inputs": {"notes": "x"}, "topk": 1}', 422, "invalid-input", "unknown key 'topk'"),
    "inputs that are no object": (b'{"inputs": []}', 422, "invalid-input", "'inputs'"),
}  # fmt: skip


MULTIPART = "multipart/form-data; boundary=x"


def part(name: str, value: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)


END = b"--x--\r\n"


NAMELESS = b"--x\r\nContent-Disposition: form-data\r\n\r\nspot\r\n"


MANY = b"".join(part(str(i), b"x") for i in range(101))


FORMS = {
    "no boundary": ("multipart/form-data", b"", 400, "bad-request", "boundary"),
    "no form": (MULTIPART, b"what?", 400, "bad-request", "multipart form"),
    "an empty body": (MULTIPART, b"", 400, "bad-request", "multipart form"),
    "a form cut short": (MULTIPART, part("notes", b"spot"), 400, "bad-request", "last boundary"),
    "a part without a name": (MULTIPART, NAMELESS + END, 400, "bad-request", "name"),
    "the same part twice": (MULTIPART, part("notes", b"x") * 2 + END, 400, "bad-request", "two parts"),
    "too many parts": (MULTIPART, MANY + END, 400, "too-many-parts", "more than 100 parts"),
    "no parts": (MULTIPART, END, 422, "missing-modality", "no modality is present"),
    "an unknown part": (MULTIPART, part("smell", b"x") + END, 422, "unknown-modality", "'smell'"),
    "a row that is not JSON": (
        MULTIPART, part("clinical", b"age=3") + END, 422, "invalid-input", "modality 'clinical' is not JSON",
    ),
    "NaN in a row": (MULTIPART, part("clinical", b'{"age": NaN}') + END, 422, "not-finite", "'age'"),
    "a text that is no text": (MULTIPART, part("notes", b"\xff") + END, 422, "invalid-input", "UTF-8"),
}  # fmt: skip
