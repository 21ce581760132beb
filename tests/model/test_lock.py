"""One process at a time writes into a folder; that of a process that died is free again."""

import subprocess
import sys
from pathlib import Path

import pytest
from tailfuse.files.lock import FolderInUse, lock_folder

HOLD = """
import sys
from pathlib import Path
from tailfuse.files.lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FolderInUse), lock_folder(folder):
            pass
        holder.kill()
        holder.wait()
        assert list(folder.iterdir())  # the dead process left its lock
        with lock_folder(folder):
            (folder / "result").touch()
    assert [file.name for file in folder.iterdir()] == ["result"]


def test_folders_that_were_made_in_vain_are_removed_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with lock_folder(tmp_path / "empty" / "runs" / "one"):
        pass
    with lock_folder(tmp_path / "empty"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["empty"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_error_inside_releases_the_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="oh"), lock_folder(tmp_path / "one"):
            raise ValueError("oh")
