"""The systemd unit: systemd accepts it and finds it confined; its times and settings are the service's."""

import re
from pathlib import Path

import pytest
from tailfuse_service.settings import Settings

from tests.support.process import ran
from tests.support.programs import locate

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = SYSTEMD / "tailfuse.service"
MAX_EXPOSURE = 15  # tenths, of 100; systemd calls up to 20 "OK"


def read_unit(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    [start] = read_unit("ExecStart")
    here.write_text(UNIT.read_text().replace(start.split()[0], "/bin/true"))  # it is not installed here
    done = ran(locate("systemd-analyze"), "verify", "--man=no", str(here))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_the_unit_confined() -> None:
    done = ran(
        locate("systemd-analyze"), "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", str(UNIT)
    )
    assert done.returncode == 0, done.stdout


def test_a_stop_has_time_to_answer_accepted_requests() -> None:
    [timeout] = read_unit("TimeoutStopSec")
    assert int(timeout) >= Settings.model_fields["stop_timeout_s"].default + 10
    assert read_unit("KillMode") == ["mixed"]


def test_the_example_of_the_environment_has_settings_of_the_service() -> None:
    text = (SYSTEMD / "service.env").read_text()
    named = re.findall(r"^#?(TAILFUSE_[A-Z_]+)=", text, re.MULTILINE)
    assert {"TAILFUSE_BUNDLE", "TAILFUSE_ROLES"} <= set(named)
    assert set(named) <= {f"TAILFUSE_{name.upper()}" for name in Settings.model_fields}
    [state] = read_unit("StateDirectory")
    assert f"TAILFUSE_ROLES=/var/lib/{state}/" in text
