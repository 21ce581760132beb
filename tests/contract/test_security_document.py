"""docs/SECURITY.md names settings, commands and tests that exist."""

import re
from pathlib import Path

from tailfuse_service.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "SECURITY.md").read_text()
# Of `tailfuse train`, which needs torch to be asked.
TRAINING_FLAGS = {"--resume"}


def test_every_link_leads_somewhere() -> None:
    for page in ("SECURITY.md", "docs/SECURITY.md"):
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text())
        assert links
        assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_every_flag_is_a_setting() -> None:
    flags = set(re.findall(r"`(--[a-z-]+)`", TEXT)) - TRAINING_FLAGS
    assert len(flags) > 15
    assert flags <= {f"--{name.replace('_', '-')}" for name in Settings.model_fields}


def test_every_command_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert named
    assert named <= targets


def test_every_promise_has_a_test_or_a_check() -> None:
    tables = TEXT.split("## Against callers")[1].split("## What is not promised")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and "promise |" not in line]
    assert len(rows) > 25
    assert [row for row in rows if not re.search(r"/test_[a-z_]+\.py\)|`make ", row.split("|")[3])] == []
