"""Landlock: the kernel keeps this process from changing files, using TCP and signalling others, for good.

An ordinary user may ask for it. Files since Linux 5.13, TCP since 6.7, signals since 6.12.
"""

import ctypes
import os

# The numbers of the system calls are those of every architecture.
CREATE_RULESET, RESTRICT_SELF = 444, 446
ASK_VERSION = 1

# Bits of linux/landlock.h, and the version of the interface that brought them.
EXECUTE, WRITE_FILE = 1 << 0, 1 << 1
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))  # files, folders, sockets, pipes, devices, links
REFER, TRUNCATE = 1 << 13, 1 << 14  # to move a file to another folder, and to cut it
FILE_RIGHTS = {1: EXECUTE | WRITE_FILE | REMOVE_AND_MAKE, 2: REFER, 3: TRUNCATE}
TCP_RIGHTS = {4: 0b11}  # bind, connect
SCOPES = {6: 0b11}  # abstract Unix sockets, signals


class Ruleset(ctypes.Structure):
    """The rights that no rule gives back, because there are no rules."""

    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def drop_rights(libc: ctypes.CDLL) -> int:
    """Drop the rights. Return the version of Landlock's interface; 0 if the kernel has or allows none.

    The process must have set no_new_privs.
    """
    version = int(libc.syscall(CREATE_RULESET, None, 0, ASK_VERSION))
    if version < 1:
        return 0
    ruleset = Ruleset(*(join_rights(rights, version) for rights in (FILE_RIGHTS, TCP_RIGHTS, SCOPES)))
    # An older kernel refuses a structure with members that it does not know, unless they are zero.
    file = int(libc.syscall(CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0))
    if file < 0:
        return 0
    refused = libc.syscall(RESTRICT_SELF, file, 0)
    os.close(file)
    return 0 if refused else version


def join_rights(rights: dict[int, int], version: int) -> int:
    """Return the bits that this version of the interface knows."""
    return sum(bits for since, bits in rights.items() if since <= version)
