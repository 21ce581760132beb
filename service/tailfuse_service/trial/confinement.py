"""What a process may not do from now on: change files, reach a network, start programs, outlive its parent.

Every layer is asked for, since none is everywhere: Landlock, seccomp, namespaces, limits of resources.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from tailfuse_service.cgroups import read_numbers
from tailfuse_service.trial import landlock, seccomp

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET
NICENESS = 10  # requests come first: a busy core gives a trial a tenth


def confine(parent: int, cpu_s: int) -> tuple[list[str], list[str]]:
    """Confine this process, which has one thread. Return the layers that hold, and what is still open to it.

    Ends the process if its parent is gone.
    """
    os.nice(NICENESS)
    lower_limit(resource.RLIMIT_CPU, cpu_s)
    lower_limit(resource.RLIMIT_FSIZE, 0)
    lower_limit(resource.RLIMIT_CORE, 0)
    layers = ["file size"]
    if sys.platform == "linux":
        layers += confine_on_linux()
    if os.getppid() != parent:
        sys.exit("the service is gone")
    return layers, ["files"] * may_write() + ["network"] * may_connect()


def limit_memory(more: int) -> None:
    """Limit the memory of this process to what it has and so many bytes more.

    The limit is on data, not on addresses, of which the C library reserves far more than it uses (measured:
    a session of onnxruntime with 4 threads has 216 MB of addresses more than one with 1, and 25 MB of data).
    """
    now = read_numbers(Path("/proc/self/status")).get("VmData:", 0) * 1024
    lower_limit(resource.RLIMIT_DATA, now + more)


def lower_limit(limit: int, value: int) -> None:
    """Set a limit of this process for good, unless the operator has set a lower one."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def confine_on_linux() -> list[str]:
    """Ask the kernel for all that an ordinary user may ask for, and return what it granted."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if memory runs out, it ends, not the service
    layers = []
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if version := landlock.drop_rights(libc):
        layers.append(f"landlock {version}")
    if seccomp.refuse_calls(libc):
        layers.append("seccomp")
    elif libc.unshare(NEW_USER | NEW_NETWORK) == 0:
        layers.append("network namespace")
    return layers


def may_write() -> bool:
    """Return whether this process can open a file for writing."""
    try:
        os.close(os.open(os.devnull, os.O_WRONLY))
    except OSError:
        return False
    return True


def may_connect() -> bool:
    """Return whether this process can use a network. A UDP socket that connects sends nothing."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("127.0.0.1", 9))
    except OSError:
        return False
    return True
