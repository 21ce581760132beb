"""A word that is no command: what was probably meant, ready to be pasted."""

import shlex
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner
from tailfuse.cli import COMMANDS, main
from tailfuse.cli.hints import COMMAND_BY_WORD


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("fit spec.yaml", "train spec.yaml"),
        ("Fit spec.yaml --resume", "train spec.yaml --resume"),
        ("trains spec.yaml", "train spec.yaml"),
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


def test_the_next_command_is_quoted_and_ctrl_c_ends_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my birds.csv").write_text("kind,wing\n" + "robin,1.5\nwren,1.1\nrobin,1.4\nwren,1.2\n" * 9)
    arguments = ["init", str(tmp_path / "my birds.csv"), "--out", str(tmp_path / "my spec.yaml")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    assert f"Next: tailfuse train '{tmp_path}/my spec.yaml'" in done.stderr

    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("tailfuse.api.infer_spec.scaffold_spec", interrupt)
    stopped = CliRunner().invoke(main, [*arguments, "--force"])
    assert (stopped.exit_code, stopped.stderr) == (130, "\nStopped.\n")


def test_the_folder_of_a_run_in_place_of_its_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").touch()
    done = CliRunner().invoke(main, ["adapt", str(tmp_path), "--unlabelled", "t.csv", "--out", "new"])
    assert done.exit_code == 1
    assert (
        f"is not a bundle: manifest.json: No such file or directory; did you mean {tmp_path}/bundle?"
        in done.stderr
    )
