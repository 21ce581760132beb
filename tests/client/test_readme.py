"""What client/README.md shows runs as it stands, with a real service at the address."""

import re
from pathlib import Path

import pytest

from tests.support.process import start_service

pytestmark = pytest.mark.e2e

README = (Path(__file__).parents[2] / "client" / "README.md").read_text()


def test_its_code_runs_and_says_what_it_says(
    tiny_bundle: Path, picture: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lesion.jpg").write_bytes(picture)
    (tmp_path / "new.csv").write_text("image,age,site,title\nlesion.jpg,61,back,\n,,,spot\n")
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    service = start_service(tiny_bundle, log=tmp_path / "service.log")  # without keys: any is taken
    try:
        code = code.replace("http://127.0.0.1:8000", service.url)
        exec(compile(code, "client/README.md", "exec"), {})
    finally:
        assert service.stop() == 0
    printed = capsys.readouterr().out
    assert "no answer: modality 'clinical', column 'age'" in printed
    assert printed.count("Answer(") == 2 + 2 + 2
    assert "modality 'clinical' has no column 'ages' (422 unknown-column)" in printed
    assert "True" in printed.splitlines()


def test_its_defaults_are_those_of_the_code() -> None:
    from tailfuse_client.requests import MAX_BYTES, MAX_ITEMS
    from tailfuse_client.retries import DEADLINE_S, MAX_PAUSE_S, MIN_PAUSE_S, RETRIES, TIMEOUT_S

    for name, value in {"retries": RETRIES, "timeout_s": TIMEOUT_S, "deadline_s": DEADLINE_S}.items():
        assert f"`{name}` ({value:g})" in README
    assert f"a random part of {MIN_PAUSE_S:g}, 0.2, 0.4 … at most {MAX_PAUSE_S:g} s" in " ".join(
        README.split()
    )
    assert f"requests of {MAX_ITEMS} and {MAX_BYTES >> 20} MiB at most" in README
