"""What admins want is one document, whoever writes it, and outlives the service where a file is named."""

import fcntl
import json
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from tailfuse_service import __main__ as main
from tailfuse_service.metrics import make_file
from tailfuse_service.models.desired_state import DesiredState, DesiredStateStore
from tailfuse_service.settings.roles_file import Canary, Roles


@pytest.fixture
def file() -> int:
    return make_file(0)


def counted(desired_state: DesiredState) -> DesiredState:
    return desired_state.model_copy(update={"generation": desired_state.generation + 1})


def with_roles(name: str, roles: Roles) -> DesiredState:
    return DesiredState(roles={name: roles})


def test_what_one_worker_writes_all_others_read(file: int) -> None:
    one, other = DesiredStateStore(file=file), DesiredStateStore(file=file)
    assert one.read() == other.read() == DesiredState()
    roles = Roles(stable="3", canary=Canary(version="4", share=0.25))
    written = one.change(lambda _: DesiredState(roles={"a": roles}, unloaded={"b.zip": "ab"}, generation=2))
    assert other.read() == written
    other.change(lambda _: DesiredState())  # shorter than what was there
    assert one.read() == DesiredState()


def write_often(file: int) -> None:
    state = DesiredStateStore(file=file)
    for _ in range(200):
        state.change(counted)


def test_no_word_is_lost_when_several_write_at_once(file: int) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=[file]) for _ in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert DesiredStateStore(file=file).read().generation == 600


def test_roles_are_in_their_file_and_survive(tmp_path: Path, file: int) -> None:
    path = tmp_path / "roles.json"
    one, other = DesiredStateStore(path, file), DesiredStateStore(path, file)
    one.change(lambda desired_state: counted(with_roles("a", Roles(stable="3"))))
    assert other.read() == DesiredState(roles={"a": Roles(stable="3")}, generation=1)
    assert json.loads(path.read_text()) == {"a": {"stable": "3", "canary": None, "shadow": None}}
    assert os.listdir(tmp_path) == ["roles.json"]
    assert DesiredStateStore(path).read().roles == {"a": Roles(stable="3")}  # the next start


def test_a_file_edited_by_hand_is_read_and_a_bad_one_leaves_the_old_roles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "roles.json"
    state = DesiredStateStore(path)
    path.write_text('{"a": {"stable": "3"}}')
    good = {"a": Roles(stable="3")}
    assert state.read().roles == good
    for bad, says in (
        ("", "EOF"),
        ("[]", "an object"),
        ('{"a": {"stabel": "4"}}', "a: stabel: Extra inputs"),
        ('{"a": {"stable": "4", "shadow": {"version": "4"}}}', "a version can have only one role"),
        ('{"a": {"canary": {"version": "4", "share": 2}}}', "a: canary: share: "),
        (None, "no longer exists"),
    ):
        path.write_text(bad) if bad is not None else path.unlink()
        for _ in range(3):
            assert state.read().roles == good
        (record,) = caplog.records
        assert says in vars(record)["reason"]
        caplog.clear()
        with pytest.raises(ValueError, match=says):
            state.change(counted)  # a call does not write over what somebody is about to mend
    path.write_text('{"a": {"stable": "5"}}')
    assert state.read().roles == {"a": Roles(stable="5")}
    assert not caplog.records


def test_a_file_that_cannot_be_written_says_so_and_changes_nothing(tmp_path: Path) -> None:
    state = DesiredStateStore(tmp_path / "none" / "roles.json")
    with pytest.raises(OSError, match="No such file"):
        state.change(lambda _: with_roles("a", Roles(stable="3")))
    assert state.read() == DesiredState()


def test_a_bad_file_at_the_start_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "roles.json"
    path.write_text('{"a": {"stable": 3}}')
    result = CliRunner().invoke(main.command, ["b", "--roles", str(path)])
    assert result.exit_code == 2
    assert "--roles (TAILFUSE_ROLES): " in result.output
    assert "a: stable: Input should be a valid string" in result.output


def test_services_with_one_file_change_it_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "roles.json"
    held = []

    def change(before: DesiredState) -> DesiredState:
        folder = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(True)
        os.close(folder)
        return before.model_copy(update={"roles": {**before.roles, "a": Roles(stable="1")}})

    DesiredStateStore(path).change(change)
    assert held == [True]


def test_no_service_undoes_what_another_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "roles.json"

    def add(number: int) -> None:
        name = f"model-{number}"
        store = DesiredStateStore(path)  # a service of its own
        store.change(
            lambda before: before.model_copy(update={"roles": {**before.roles, name: Roles(stable="1")}})
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert len(DesiredStateStore(path).read().roles) == 40


def test_a_folder_that_is_not_there_is_told_and_not_locked(tmp_path: Path) -> None:
    store = DesiredStateStore(tmp_path / "absent" / "roles.json")
    with pytest.raises(OSError, match="No such file"):
        store.change(lambda before: before.model_copy(update={"roles": {"a": Roles(stable="1")}}))
