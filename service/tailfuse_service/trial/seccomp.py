"""seccomp: the kernel refuses system calls that change files, use a network or reach other processes.

An ordinary user may ask for it, also in a container. Every call that is in no table is allowed: onnxruntime
and torch call many, and their next releases may call others.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterator

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW = 0x7FFF0000
REFUSE, NOT_THERE = (0x00050000 | code for code in (errno.EPERM, errno.ENOSYS))

# Of linux/audit.h. The calls of another architecture have other numbers.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_CALLS = 0x40000000  # x86_64 with short pointers has its numbers from here on

Numbers = tuple[int | None, int | None]  # of a call, by architecture; None: it does not have the call

REFUSED: dict[str, Numbers] = {
    # Sockets, and io_uring, which opens sockets and files without further calls.
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    # Names of files and folders.
    "creat": (85, None), "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None),
    "mknodat": (259, 33),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "unlink": (87, None), "unlinkat": (263, 35), "rmdir": (84, None),
    # Length, mode, owner, times and attributes of files.
    "truncate": (76, 45), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    # Memory and queues that outlive the process.
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # Other programs and other processes.
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "unshare": (272, 97), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
}  # fmt: skip
# Calls whose arguments are in memory, where a filter cannot look. The C library takes an older call instead.
HIDDEN: dict[str, Numbers] = {"clone3": (435, 435), "openat2": (437, 437)}
# Calls that depend on an argument: its position, and the bits that decide.
OPEN: dict[str, tuple[Numbers, int]] = {"open": ((2, None), 1), "openat": ((257, 56), 2)}
CLONE: Numbers = (56, 220)
SIGNAL: dict[str, Numbers] = {"kill": (62, 129), "tgkill": (234, 131)}
PRLIMIT: Numbers = (302, 261)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
IS_THREAD = 0x00010000  # CLONE_THREAD

# Classic BPF: a 32-bit word is loaded, compared with a constant, and the filter returns.
LOAD, JUMP_EQUAL, JUMP_FROM, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, ARGUMENT_BYTES = 0, 4, 16, 8  # offsets in seccomp_data

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


class Filter(ctypes.Structure):
    """An instruction of the filter: `sock_filter` of linux/filter.h."""

    _fields_ = (
        ("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8), ("if_false", ctypes.c_uint8),
        ("constant", ctypes.c_uint32),
    )  # fmt: skip


class Program(ctypes.Structure):
    """The filter: `sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(Filter)))


def refuse_calls(libc: ctypes.CDLL) -> bool:
    """Refuse the calls from now on, and return whether the kernel does so.

    The process must have set no_new_privs.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return False
    written = [Filter(*each) for each in write_program(machine, os.getpid())]
    program = Program(len(written), (Filter * len(written))(*written))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def write_program(machine: str, pid: int) -> Iterator[Instruction]:
    """Yield the filter of an architecture for the process `pid`, which may signal itself only."""
    column = list(ARCHITECTURES).index(machine)
    yield LOAD, 0, 0, ARCHITECTURE
    yield JUMP_EQUAL, 1, 0, ARCHITECTURES[machine]
    yield RETURN, 0, 0, REFUSE
    yield LOAD, 0, 0, NUMBER
    yield JUMP_FROM, 0, 1, X32_CALLS
    yield RETURN, 0, 0, REFUSE
    for calls, answer in ((REFUSED, REFUSE), (HIDDEN, NOT_THERE)):
        for numbers in calls.values():
            if (number := numbers[column]) is not None:
                yield JUMP_EQUAL, 0, 1, number
                yield RETURN, 0, 0, answer
    for numbers, position in OPEN.values():
        yield from decide(numbers[column], position, (JUMP_ANY_BIT, WRITES), (REFUSE, ALLOW))
    yield from decide(CLONE[column], 0, (JUMP_ANY_BIT, IS_THREAD), (ALLOW, REFUSE))
    for numbers in SIGNAL.values():
        yield from decide(numbers[column], 0, (JUMP_EQUAL, pid), (ALLOW, REFUSE))
    yield from decide(PRLIMIT[column], 0, (JUMP_EQUAL, 0), (ALLOW, REFUSE))
    yield RETURN, 0, 0, ALLOW


def decide(
    number: int | None, position: int, test: tuple[int, int], answers: tuple[int, int]
) -> Iterator[Instruction]:
    """Yield the answer to one call by the low half of an argument: if the test holds, and if it does not."""
    if number is None:
        return
    yield JUMP_EQUAL, 0, 4, number
    yield LOAD, 0, 0, FIRST_ARGUMENT + position * ARGUMENT_BYTES
    yield test[0], 0, 1, test[1]
    yield RETURN, 0, 0, answers[0]
    yield RETURN, 0, 0, answers[1]
