"""Forms that are hostile, and what may be said falsely about a body."""

import gzip

from tests.support.hostile.pictures import art, encode_file
from tests.support.hostile.request import DEEP, ENDLESS, FORM, MISFIT, SYNTAX, Inputs, Request


def part(name: str, value: bytes, more: str = "", *, line: str = "\r\n") -> bytes:
    head = f'--x{line}Content-Disposition: form-data; name="{name}"{more}{line}{line}'
    return head.encode() + value + line.encode()


END = b"--x--\r\n"


def forms() -> dict[str, Request]:
    ok = {"notes": "spot"}
    spot = part("notes", b"spot")
    nameless = b"--x\r\nContent-Disposition: form-data\r\n\r\nspot\r\n"
    bare = b"--x\r\n\r\nspot\r\n"
    form = b"%b%b"

    def sent(body: bytes, *slugs: str, same_as: Inputs | None = None, kind: str = FORM) -> Request:
        return Request(body, slugs, same_as, kind)

    many = b"".join(part(f"k{i}", b"x") for i in range(5000))
    png = encode_file(art())
    return {
        "a form": sent(form % (spot, END), same_as=ok),
        "a form of a file": sent(
            part("image", png, '; filename="../../etc/passwd"\r\nContent-Type: image/png') + END,
            same_as={"image": png},
        ),
        "a file without an end": sent(part("image", png[:-40], '; filename="x"') + END, "undecodable-image"),
        "a boundary of quotes": sent(spot + END, same_as=ok, kind='multipart/form-data; boundary="x"'),
        "words before the form": sent(b"preamble\r\n" + spot + END, *SYNTAX, same_as=ok),
        "words behind the form": sent(spot + END + b"epilogue", *SYNTAX, same_as=ok),
        "no boundary": sent(spot + END, *SYNTAX, kind="multipart/form-data"),
        "an empty boundary": sent(spot + END, *SYNTAX, kind="multipart/form-data; boundary="),
        "another boundary": sent(spot + END, *SYNTAX, kind="multipart/form-data; boundary=y"),
        "a boundary of 10,000": sent(spot, *SYNTAX, kind="multipart/form-data; boundary=" + "x" * 10_000),
        "an empty form": sent(b"", *SYNTAX),
        "a form that has no parts": sent(END, *SYNTAX, "missing-modality"),
        "a boundary that is never closed": sent(spot, *SYNTAX),
        "a boundary that is never opened": sent(b"spot\r\n" * 1000, *SYNTAX),
        "a part cut short": sent(spot[:-5], *SYNTAX),
        "a part's head cut short": sent(spot[:20], *SYNTAX),
        "a part without a name": sent(nameless + END, *SYNTAX),
        "a part without a head": sent(bare + END, *SYNTAX),
        "a part of an empty name": sent(part("", b"spot") + END, *SYNTAX, "unknown-modality"),
        "a part's name that is no text": sent(
            b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nspot\r\n' + END,
            *SYNTAX, "unknown-modality",
        ),
        "the same part twice": sent(spot + spot + END, *SYNTAX),
        "an unknown part": sent(part("smell", b"x") + END, "unknown-modality"),
        "5,000 parts": sent(many + END, *SYNTAX, "too-many-parts"),
        "a part with 10,000 headers": sent(
            b"--x\r\n" + b"A: b\r\n" * 10_000 + spot[5:] + END, *SYNTAX, same_as=ok
        ),
        "a part's header of a megabyte": sent(
            part("notes", b"spot", "\r\nA: " + "b" * (1 << 20)) + END, *SYNTAX, same_as=ok
        ),
        "lines without carriage returns": sent(part("notes", b"spot", line="\n") + b"--x--\n", *SYNTAX),
        "a million dashes": sent(b"-" * (1 << 20), *SYNTAX),
        "a megabyte of line breaks": sent(
            part("notes", b"spot" + b"\r\n-" * 300_000) + END, same_as=ok
        ),
        "a text that is no text": sent(part("notes", b"\xff\xfe") + END, *MISFIT),
        "a row that is no JSON": sent(part("clinical", b"age=3") + END, *MISFIT),
        "a row with NaN": sent(part("clinical", b'{"age": NaN}') + END, *ENDLESS),
        "a row of 10,000 arrays": sent(part("clinical", b"[" * 10_000) + END, *MISFIT, *DEEP),
    }  # fmt: skip


def declared() -> dict[str, Request]:
    """What is said about the body."""
    ok = {"notes": "spot"}
    honest = b'{"inputs": {"notes": "spot"}}'
    other = ("unsupported-media-type",)
    kinds = {
        "": other, "text/csv": other, "image/png": other, "nonsense": other, "application/jsonp": other,
        "application/x-www-form-urlencoded": other, "application/problem+json": other,
        "multipart/mixed; boundary=x": other, "text/plain;" + ";" * 5000: other, "*/*": other,
    }  # fmt: skip
    fine = (
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;",
        "application/json ; a=b",
    )
    return {
        **{
            f"content type '{kind:.40}'": Request(honest, slugs, content_type=kind)
            for kind, slugs in kinds.items()
        },
        **{f"content type '{kind}'": Request(honest, same_as=ok, content_type=kind) for kind in fine},
        **{
            f"a body in {coding}": Request(honest, other, headers={"content-encoding": coding})
            for coding in ("br", "deflate, gzip", "nonsense")
        },
        "a body that is not in gzip": Request(honest, SYNTAX, headers={"content-encoding": "gzip"}),
        "a body in gzip": Request(gzip.compress(honest), same_as=ok, headers={"content-encoding": "gzip"}),
        "a bomb in gzip": Request(
            gzip.compress(bytes(50_000_000)), ("payload-too-large",), headers={"content-encoding": "gzip"}
        ),
        "a body in no coding": Request(honest, same_as=ok, headers={"content-encoding": "identity"}),
        "a form that is JSON": Request(honest, SYNTAX, content_type=FORM),
        "JSON that is a form": Request(part("notes", b"spot") + END, SYNTAX),
        "an id of 10,000": Request(honest, same_as=ok, headers={"x-request-id": "x" * 10_000}),
        "an id that is a script": Request(honest, same_as=ok, headers={"x-request-id": "<script>"}),
        "a trace that is none": Request(honest, same_as=ok, headers={"traceparent": "00-zz-zz-zz"}),
    }  # fmt: skip
