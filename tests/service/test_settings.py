"""Settings: from the environment, from flags, and with clear words when they are wrong."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from tailfuse_service import __main__ as main
from tailfuse_service.settings import Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that would have been served."""
    seen: list[Settings] = []
    monkeypatch.setattr(main, "serve", seen.append)
    return seen


def test_flags_win_over_the_environment_and_both_over_defaults(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILFUSE_PORT", "9001")
    monkeypatch.setenv("TAILFUSE_MAX_ITEMS", "7")
    result = CliRunner().invoke(main.command, ["some/bundle", "--port", "9002"])
    assert result.exit_code == 0, result.output
    (settings,) = served
    assert settings.bundle == Path("some/bundle")
    assert (settings.port, settings.max_items, settings.host) == (9002, 7, "127.0.0.1")


def test_the_bundle_may_come_from_the_environment(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILFUSE_BUNDLE", "from/there")
    assert CliRunner().invoke(main.command, []).exit_code == 0
    assert served[0].bundle == Path("from/there")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "TAILFUSE_BUNDLE"),
        (["b", "--port", "x"], "--port (TAILFUSE_PORT)"),
        (["b", "--port", "70000"], "--port (TAILFUSE_PORT)"),
        (["b", "--runtime", "tensorrt"], "--runtime (TAILFUSE_RUNTIME)"),
        (["b", "--max-items", "10", "--max-queue", "5"], "max_items (10) must not be above max_queue (5)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_setting_is_one_sentence(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, flags: list[str], says: str
) -> None:
    monkeypatch.delenv("TAILFUSE_BUNDLE", raising=False)
    result = CliRunner().invoke(main.command, flags)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output
    assert served == []


def test_every_setting_has_a_flag_and_a_description() -> None:
    parameters = {parameter.name: parameter for parameter in main.command.params}
    assert set(parameters) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert field.description
        parameter = parameters[name]
        if isinstance(parameter, click.Option):
            assert field.description in (parameter.help or "")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings(bundle=Path("b")).port = 1
