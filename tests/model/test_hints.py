"""A word that is no command: what was probably meant, ready to be pasted."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from tailfuse.cli import COMMANDS, main
from tailfuse.cli.hints import COMMAND_BY_WORD


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("fit spec.yaml", "train spec.yaml"),
        ("Fit spec.yaml --resume", "train spec.yaml --resume"),
        ("trian spec.yaml", "train spec.yaml"),
        ("TRAIN spec.yaml", "train spec.yaml"),
        ("test bundle table.csv", "evaluate bundle table.csv"),
        ("'my spec.yml' -o out", "train 'my spec.yml' -o out"),
        ("'a; b.csv'", "init 'a; b.csv'"),
        ("version", "--version"),
        ("help train", "--help"),
        ("predit bundle '$HOME.csv'", "predict bundle '$HOME.csv'"),
    ],
)
def test_an_unknown_command_names_what_was_meant(typed: str, meant: str) -> None:
    done = CliRunner().invoke(main, shlex.split(typed), prog_name="tailfuse")
    assert done.exit_code == 2
    word = shlex.split(typed)[0]
    assert done.stderr.splitlines()[-1] == (
        f"Error: there is no command '{word}'; did you mean: tailfuse {meant}"
    )


def test_a_bundle_in_place_of_a_command_is_to_be_served(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    done = CliRunner().invoke(main, [str(tmp_path)], prog_name="tailfuse")
    assert f"did you mean: tailfuse serve {tmp_path}" in done.stderr


def test_a_word_like_no_command_has_no_hint() -> None:
    done = CliRunner().invoke(main, ["xyzzy"], prog_name="tailfuse")
    assert done.stderr.splitlines()[-1] == "Error: there is no command 'xyzzy'"


def test_every_hint_leads_to_a_command() -> None:
    assert {word for word in COMMAND_BY_WORD.values() if not word.startswith("--")} <= COMMANDS.keys()
    assert not COMMAND_BY_WORD.keys() & COMMANDS.keys()
