"""JSON that is hostile: what is no JSON, what is of another shape, and values that fit nowhere."""

import base64
import json
from typing import Any

from tests.support.hostile.pictures import art, encode_file
from tests.support.hostile.request import DEEP, ENDLESS, MISFIT, SYNTAX, Inputs, Request

PICTURE = base64.b64encode(encode_file(art())).decode()


def told(text: str | bytes, *slugs: str, same_as: Inputs | None = None) -> Request:
    """A body of JSON, or of what is none."""
    return Request(text.encode() if isinstance(text, str) else text, slugs, same_as)


def age(literal: str, *slugs: str, same_as: Any = None) -> Request:
    """A literal where a number belongs; `same_as` is the honest number."""
    same = None if same_as is None else {"clinical": {"age": same_as}}
    return told('{"inputs": {"clinical": {"age": ' + literal + "}}}", *slugs, same_as=same)


def notes(literal: str, *slugs: str, same_as: str | None = None) -> Request:
    """A literal where a text belongs."""
    same = None if same_as is None else {"notes": same_as}
    return told('{"inputs": {"notes": ' + literal + "}}", *slugs, same_as=same)


def numbers() -> dict[str, Request]:
    return {
        "NaN": age("NaN", *ENDLESS),
        "Infinity": age("Infinity", *ENDLESS),
        "-Infinity": age("-Infinity", *ENDLESS),
        "1e999": age("1e999", *ENDLESS),
        "-1e999": age("-1e999", *ENDLESS),
        "1e300": age("1e300", *ENDLESS),
        "10^400": age("1" + "0" * 400, *ENDLESS),
        "-10^400": age("-1" + "0" * 400, *ENDLESS),
        "a number of 100,000 digits": age("1" * 100_000, *ENDLESS, *SYNTAX),
        "0. and 100,000 digits": age("0." + "1" * 100_000, same_as=1 / 9),
        "2^64": age(str(2**64), same_as=2.0**64),
        "-2^63 - 1": age(str(-(2**63) - 1), same_as=-(2.0**63)),
        "-0.0": age("-0.0", same_as=0.0),
        "-0": age("-0", same_as=0),
        "1e-400": age("1e-400", same_as=0.0),
        "1E2": age("1E2", same_as=100),
        "true for a number": age("true", same_as=1),
        "a string for a number": age('"61"', same_as=61),
        "an array for a number": age("[61]", *MISFIT),
        "an object for a number": age('{"$gt": 0}', *MISFIT),
        "01": age("01", *SYNTAX),
        "0x10": age("0x10", *SYNTAX),
        "+1": age("+1", *SYNTAX),
        "1_000": age("1_000", *SYNTAX),
        ".5": age(".5", *SYNTAX),
        "1 for true": told('{"inputs": {"clinical": {"smoker": 1}}}', same_as={"clinical": {"smoker": True}}),
        "true for a category": told(
            '{"inputs": {"clinical": {"site": true}}}', same_as={"clinical": {"site": "true"}}
        ),
        "1.5 for a category": told(
            '{"inputs": {"clinical": {"site": 1.5}}}', same_as={"clinical": {"site": "1.5"}}
        ),
    }


def structures() -> dict[str, Request]:
    """JSON that is no JSON, or of another shape."""
    ok = {"notes": "spot"}
    honest = '{"inputs": {"notes": "spot"}}'
    deep, many = 10_000, 100_000
    keys = ", ".join(f'"k{i}": 1' for i in range(many))
    cases = {
        "nothing": told("", *SYNTAX),
        "blanks": told(" \n\t\r ", *SYNTAX),
        "a bracket": told("{", *SYNTAX),
        "half of it": told(honest[:-4], *SYNTAX),
        "a comma too many": told('{"inputs": {"notes": "spot",}}', *SYNTAX),
        "single quotes": told("{'inputs': {'notes': 'spot'}}", *SYNTAX),
        "a comment": told(honest + " // spot", *SYNTAX),
        "two documents": told(honest + honest, *SYNTAX),
        "a NUL behind it": told(honest + "\0", *SYNTAX),
        "blanks around it": told("\n " + honest + "\r\n\t", same_as=ok),
        "a megabyte of blanks": told(" " * (1 << 20) + honest, same_as=ok),
        "a form's words": told("inputs=1", *SYNTAX),
        "XML": told("<inputs/>", *SYNTAX),
        "a pickle": told(b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94.", *SYNTAX),
        "null": told("null", *MISFIT),
        "0": told("0", *MISFIT),
        "a string": told('"inputs"', *MISFIT),
        "an array": told("[]", *MISFIT),
        "an empty object": told("{}", *MISFIT),
        "NaN alone": told("NaN", *MISFIT, *SYNTAX, *ENDLESS),
        "no inputs": told('{"inputs": {}}', "missing-modality"),
        "nulls": told('{"inputs": {"image": null, "notes": ""}}', "missing-modality"),
        "inputs: null": told('{"inputs": null}', *MISFIT),
        "inputs: []": told('{"inputs": []}', *MISFIT),
        "a key too many": told('{"inputs": {"notes": "x"}, "__proto__": {}}', *MISFIT),
        "an unknown modality": told('{"inputs": {"__class__": 1}}', "unknown-modality"),
        "an unknown column": told('{"inputs": {"clinical": {"ages": 1}}}', "unknown-column"),
        "the same key twice": told('{"inputs": {"notes": "no"}, "inputs": {"notes": "spot"}}', same_as=ok),
        "the same modality twice": told('{"inputs": {"notes": "no", "notes": "spot"}}', same_as=ok),
        f"{deep} arrays": told("[" * deep + "]" * deep, *DEEP),
        f"{deep} arrays left open": told("[" * deep, *DEEP),
        f"{deep} objects": told('{"inputs":' * deep + "1" + "}" * deep, *DEEP),
        f"{deep} arrays for a number": age("[" * deep + "]" * deep, *DEEP),
        f"{deep} arrays beside NaN": age("[NaN" + ", [" * deep + "]" * (deep + 1), *DEEP),
        "a hundred arrays for a text": notes("[" * 100 + "]" * 100, *MISFIT, *DEEP),
        f"{many} keys": told("{" + keys + "}", *MISFIT),
        f"{many} modalities": told('{"inputs": {' + keys + "}}", "unknown-modality"),
        f"{many} columns": told('{"inputs": {"clinical": {' + keys + "}}}", "unknown-column"),
        f"{many} values": told('{"inputs": {"clinical": [' + "1, " * many + "1]}}", *MISFIT),
        f"a key of {many}": told('{"%s": 1}' % ("k" * many), *MISFIT),
        f"a modality of {many}": told('{"inputs": {"%s": 1}}' % ("k" * many), "unknown-modality"),
        f"a column of {many}": told('{"inputs": {"clinical": {"%s": 1}}}' % ("k" * many), "unknown-column"),
        f"a category of {many}": told(
            '{"inputs": {"clinical": {"age": 7, "site": "%s"}}}' % ("k" * many),
            *MISFIT, "text-too-long", same_as={"clinical": {"age": 7}},
        ),
        f"{many} characters for a number": age('"%s"' % ("9" * many), *MISFIT, "text-too-long"),
    }  # fmt: skip
    return cases


def characters() -> dict[str, Request]:
    """Bytes that are no UTF-8, and characters that few have met."""
    megabyte = "spot " * 200_000
    return {
        "UTF-8 cut short": told(b'{"inputs": {"notes": "\xe2\x82"}}', *SYNTAX),
        "a byte that UTF-8 never has": told(b'{"inputs": {"notes": "\xff"}}', *SYNTAX),
        "an overlong slash": told(b'{"inputs": {"notes": "\xc0\xaf"}}', *SYNTAX),
        "a surrogate in UTF-8": told(b'{"inputs": {"notes": "\xed\xa0\x80"}}', *SYNTAX),
        "a byte that is no text beside NaN": told(b'{"inputs": {"notes": "\xff", "image": NaN}}', *SYNTAX),
        "half a surrogate pair": notes(r'"\ud800"', *SYNTAX),
        "a surrogate pair the wrong way round": notes(r'"\ude00\ud83d"', *SYNTAX),
        "a surrogate pair": notes(r'"spot \ud83d\ude00"', same_as="spot \U0001f600"),
        "half a pair as a column": told(r'{"inputs": {"clinical": {"\ud800": 1}}}', *SYNTAX),
        "a byte order mark": told(b'\xef\xbb\xbf{"inputs": {"notes": "spot"}}', same_as=ok),
        "UTF-16": told('{"inputs": {"notes": "spot"}}'.encode("utf-16"), *SYNTAX),
        "UTF-16 without a mark": told('{"inputs": {"notes": "spot"}}'.encode("utf-16-le"), *SYNTAX),
        "a NUL, escaped": notes(r'"a spot\u0000b"', same_as="a spot\0b"),
        "a NUL as it is": told(b'{"inputs": {"notes": "a\0b"}}', *SYNTAX),
        "a line break as it is": told(b'{"inputs": {"notes": "a\nb"}}', *SYNTAX),
        "an unknown escape": notes(r'"\x41"', *SYNTAX),
        "right to left": notes(r'"\u202espot\u2066"', same_as="\u202espot\u2066"),
        "a thousand accents": notes(json.dumps("e" + "\u0301" * 1000), same_as="e" + "\u0301" * 1000),
        "a letter that grows in lower case": notes(json.dumps("\u0130" * 99), same_as="\u0130" * 99),
        "a megabyte of words": notes(json.dumps(megabyte), same_as=megabyte),
        "a word of a megabyte": notes('"%s"' % ("x" * (1 << 20)), "text-too-long"),
        "blanks for a text": notes('"  \\n "', "missing-modality"),
        "a number for a text": notes("7", *MISFIT),
        "commands for a text": notes('"$(reboot) {{7*7}} ../.."', same_as="$(reboot) {{7*7}} ../.."),
    }  # fmt: skip


def base64s() -> dict[str, Request]:
    """Strings for a picture."""

    def image(text: str, *slugs: str, same_as: Inputs | None = None) -> Request:
        return told(json.dumps({"inputs": {"image": text}}), *slugs, same_as=same_as)

    return {
        "no base64": image("not base64!", *MISFIT),
        "base64 without its end": image("AAA", "undecodable-image"),
        "base64 with line breaks": image(
            "\n".join(PICTURE[i : i + 60] for i in range(0, 999, 60)), same_as={"image": encode_file(art())}
        ),
        "base64 of a URL": image("_-__", "undecodable-image"),
        "characters beyond ASCII": image("\u00e9\u00e9\u00e9\u00e9", *MISFIT),
        "an address": image("http://127.0.0.1:8000/metrics", *MISFIT),
        "an address of a file": image("file:///etc/passwd", *MISFIT),
        "a data URL": image("data:image/png;base64," + PICTURE, same_as={"image": encode_file(art())}),
        "a data URL of nothing": image("data:", *MISFIT),
        "a data URL without base64": image("data:text/plain,spot!", *MISFIT),
        "a picture that is an array": told('{"inputs": {"image": [255, 216, 255]}}', *MISFIT),
        "four megabytes of A": image("A" * (1 << 22), "undecodable-image"),
    }
