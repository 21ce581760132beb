"""Hostile requests to POST /predict, each with the answer that is right. All of them are made here."""

import base64
import json

from tests.support.hostile.forms import declared, forms
from tests.support.hostile.json_bodies import base64s, characters, numbers, structures
from tests.support.hostile.pictures import encode_file, pictures
from tests.support.hostile.request import Request


def from_pictures() -> dict[str, Request]:
    """Each picture as base64 in JSON."""
    return {
        name: Request(
            json.dumps({"inputs": {"image": base64.b64encode(each.data).decode()}}).encode(),
            each.slugs,
            None if each.same_as is None else {"image": encode_file(each.same_as)},
        )
        for name, each in pictures().items()
    }


def corpus() -> dict[str, Request]:
    """All of them by name."""
    rooms = (from_pictures(), numbers(), structures(), characters(), base64s(), forms(), declared())
    together: dict[str, Request] = {}
    for room in rooms:
        assert not together.keys() & room.keys(), together.keys() & room.keys()
        together |= room
    return together
