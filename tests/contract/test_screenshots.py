"""The screenshots of docs/screenshots: each is committed, small, as wide as it says, and shown on a page."""

import struct

import pytest

from docs.assemble import find_pages
from docs.screenshots import FOLDER, ROOT, SHOTS, Shot

MAX_BYTES = 150_000


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_it_is_small_and_has_its_size(shot: Shot) -> None:
    picture = (FOLDER / f"{shot.name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (shot.width, shot.height)
    assert len(picture) < MAX_BYTES


def test_there_are_no_others_and_each_is_shown_on_a_page() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {shot.name for shot in SHOTS}
    pages = "".join((ROOT / page).read_text() for page in find_pages() if page.endswith(".md"))
    assert [shot.name for shot in SHOTS if f"screenshots/{shot.name}.png" not in pages] == []
