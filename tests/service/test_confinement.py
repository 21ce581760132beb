"""What a confined process cannot do, by each layer alone and by all of them; tried in real processes."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from tailfuse_service.trial import landlock, seccomp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

# Each does something to the world, and says what came of it.
TRIES = {
    "write": "open(folder + '/written', 'w')",
    "append": "open(folder + '/there', 'a')",
    "open for both": "os.open(folder + '/there', os.O_RDWR)",
    "cut": "os.truncate(folder + '/there', 0)",
    "remove": "os.remove(folder + '/there')",
    "rename": "os.rename(folder + '/there', folder + '/elsewhere')",
    "link": "os.link(folder + '/there', folder + '/second')",
    "symlink": "os.symlink('there', folder + '/symbolic')",
    "make a folder": "os.mkdir(folder + '/made')",
    "make a pipe": "os.mkfifo(folder + '/pipe')",
    "without a name": "os.open(folder, os.O_TMPFILE | os.O_RDWR)",
    "through /proc": "open(f'/proc/{os.getppid()}/mem', 'wb')",
    "mode": "os.chmod(folder + '/there', 0o777)",
    "time": "os.utime(folder + '/there', (1, 1))",
    "attribute": "os.setxattr(folder + '/there', 'user.mark', b'x')",
    "TCP": "socket.create_connection(('127.0.0.1', port))",
    "listen": "socket.create_server(('127.0.0.1', 0))",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "Unix": "socket.socket(socket.AF_UNIX)",
    "socket pair": "socket.socketpair()",
    "fork": "os.fork() or os._exit(0)",
    "program": "subprocess.run(['true'])",
    "replace itself": "os.execv('/bin/true', ['true'])",
    "signal the parent": "os.kill(os.getppid(), 0)",
    "namespace": "os.getpid() if libc.unshare(0x10000000) == 0 else fail()",
}
SCRIPT = """
import ctypes, json, os, resource, socket, subprocess, sys
folder, port, tries = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
libc = ctypes.CDLL(None)
def fail():
    raise OSError
def attempt(what):
    try:
        eval(what)
    except OSError:
        return False
    return True
libc.prctl(38, 1, 0, 0, 0)
{enter}
print(json.dumps([name for name, what in tries.items() if attempt(what)]))
"""
LAYERS = {
    "landlock": "from tailfuse_service.trial import landlock; assert landlock.drop_rights(libc)",
    "seccomp": "from tailfuse_service.trial import seccomp; assert seccomp.refuse_calls(libc)",
    "all": "from tailfuse_service.trial.confinement import confine; "
    "assert confine(os.getppid(), 60)[1] == [], 'something is open'",
}
# What Landlock has nothing to say about; seccomp refuses all of it.
NOT_LANDLOCK = {
    "mode", "time", "attribute", "UDP", "Unix", "socket pair", "fork", "namespace", "listen", "TCP",
    "signal the parent", "program", "without a name",
}  # fmt: skip


def attempt_all(folder: Path, enter: str, *left_out: str) -> set[str]:
    """Run a process that enters a layer and tries everything. Return what it could do."""
    tries = {name: what for name, what in TRIES.items() if name not in left_out}
    (folder / "there").write_text("unharmed")
    script = SCRIPT.replace("{enter}", enter)
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), "1", json.dumps(tries)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def has_landlock() -> bool:
    """Return whether this kernel has Landlock."""
    script = "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout) > 0


def test_without_a_layer_nearly_all_of_it_can_be_done(tmp_path: Path) -> None:
    done = attempt_all(tmp_path, "pass", "replace itself")
    assert {"write", "cut", "make a folder", "UDP", "fork", "signal the parent"} <= done


@pytest.mark.skipif(platform.machine() not in seccomp.ARCHITECTURES, reason="no table for this machine")
@pytest.mark.parametrize("layer", ["seccomp", "all"])
def test_seccomp_alone_lets_nothing_of_it_through(tmp_path: Path, layer: str) -> None:
    assert attempt_all(tmp_path, LAYERS[layer]) == set()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("there", "unharmed")]


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")
def test_landlock_alone_lets_no_file_be_written(tmp_path: Path) -> None:
    assert attempt_all(tmp_path, LAYERS["landlock"]) <= NOT_LANDLOCK
    assert (tmp_path / "there").read_text() == "unharmed"
    assert not (tmp_path / "written").exists()


def test_what_is_still_open_is_found_by_trying(tmp_path: Path) -> None:
    script = (
        "import os\nfrom tailfuse_service.trial import confinement\n"
        "confinement.confine_on_linux = lambda: []\nprint(*confinement.confine(os.getppid(), 60))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "['file size'] ['files', 'network']\n"


def test_where_there_is_no_seccomp_a_namespace_keeps_the_network_away() -> None:
    script = (
        "import os\nfrom tailfuse_service.trial import confinement, landlock, seccomp\n"
        "seccomp.refuse_calls = lambda libc: False\nlandlock.drop_rights = lambda libc: 0\n"
        "print(*confinement.confine(os.getppid(), 60))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    holds = "['file size', 'network namespace'] ['files']\n"
    forbidden = "['file size'] ['files', 'network']\n"  # inside most containers
    assert done.stdout in (holds, forbidden)


def test_a_process_whose_parent_is_not_the_service_ends_at_once() -> None:
    script = (
        "import os\nfrom tailfuse_service.trial.confinement import confine\n"
        "confine(os.getppid() + 1, 60)\nprint(1)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")


def test_processor_time_is_limited() -> None:
    script = (
        "import os\nfrom tailfuse_service.trial.confinement import confine\n"
        "confine(os.getppid(), 1)\nwhile True: pass"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120)
    assert done.returncode < 0


def test_a_lower_limit_of_the_operator_stays() -> None:
    script = (
        "import os, resource\nfrom tailfuse_service.trial.confinement import confine, limit_memory\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (50, 50))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))\n"
        "confine(os.getppid(), 60)\nlimit_memory(2**40)\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_DATA)[0] == 2**30)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(50, 50) True\n"


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_a_filter_has_no_jump_out_of_it_and_ends_in_an_answer(machine: str) -> None:
    program = list(seccomp.write_program(machine, 4321))
    assert len(program) < 4096  # the kernel's limit
    for position, (code, if_true, if_false, _) in enumerate(program):
        assert code in {0x20, 0x15, 0x35, 0x45, 0x06}
        assert position + 1 + max(if_true, if_false) < len(program) or code == seccomp.RETURN
    assert program[-1] == (seccomp.RETURN, 0, 0, seccomp.ALLOW)


def judge(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Run a filter as the kernel would. Return its answer to one system call of process 4321."""
    words = {0: number, 4: seccomp.ARCHITECTURES[machine] if architecture is None else architecture}
    words |= {16 + 8 * position: value for position, value in enumerate(arguments)}
    program, loaded, at = list(seccomp.write_program(machine, 4321)), 0, 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        if code == seccomp.RETURN:
            return constant
        if code == seccomp.LOAD:
            loaded = words[constant]
            continue
        holds = {
            seccomp.JUMP_EQUAL: loaded == constant,
            seccomp.JUMP_FROM: loaded >= constant,
            seccomp.JUMP_ANY_BIT: bool(loaded & constant),
        }[code]
        at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "openat", "socket", "clone", "kill", "read"), [
    ("x86_64", 257, 41, 56, 62, 0), ("aarch64", 56, 198, 220, 129, 63),
])  # fmt: skip
def test_both_filters_tell_reading_from_writing_and_threads_from_processes(
    machine: str, openat: int, socket: int, clone: int, kill: int, read: int
) -> None:
    allow, refuse = seccomp.ALLOW, seccomp.REFUSE
    assert judge(machine, read) == allow
    assert judge(machine, openat, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == allow
    assert {judge(machine, openat, 0, 0, flag) for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT)} == {refuse}
    assert judge(machine, socket) == refuse
    assert (judge(machine, clone, 0x10000), judge(machine, clone, 17)) == (allow, refuse)
    assert (judge(machine, kill, 4321), judge(machine, kill, 1)) == (allow, refuse)
    assert judge(machine, 435) == seccomp.NOT_THERE  # clone3: the C library takes clone
    assert judge(machine, read, architecture=0x40000003) == refuse  # a 32-bit call
    if machine == "x86_64":
        assert judge(machine, seccomp.X32_CALLS + 41) == refuse


@pytest.mark.parametrize(("version", "rights"), [
    (1, [0x1FF3, 0, 0]), (2, [0x3FF3, 0, 0]), (3, [0x7FF3, 0, 0]), (4, [0x7FF3, 3, 0]), (6, [0x7FF3, 3, 3]),
    (9, [0x7FF3, 3, 3]),
])  # fmt: skip
def test_landlock_is_asked_for_what_its_version_knows(version: int, rights: list[int]) -> None:
    tables = (landlock.FILE_RIGHTS, landlock.TCP_RIGHTS, landlock.SCOPES)
    assert [landlock.join_rights(each, version) for each in tables] == rights
