"""Become another user and exec a command, keeping the right to reach it. Run as a script, by root only.

PostgreSQL refuses to run as root, and the user it runs as cannot enter a home of mode 0700 where the
programs and the data may lie. Opening those folders to the world is not ours to do. So the command keeps one
capability, that of passing through folders (CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container
grants only that), as an ambient capability that survives exec. ``access(2)``, which PostgreSQL asks about its
own binaries, drops the capabilities of a user other than root unless SECBIT_NO_SETUID_FIXUP is set: so it is.

Usage: ``python -I -S as_user.py UID GID COMMAND [ARGUMENT...]``. Imports only what starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_SECUREBITS = 28
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def permitted_capabilities() -> int:
    """The bit set of capabilities this process may use, as Linux shows it."""
    with open("/proc/self/status") as lines:  # noqa: PTH123 - pathlib would cost the start its import
        for line in lines:
            if line.startswith("CapPrm:"):
                return int(line.split()[1], 16)
    return 0


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def become(uid: int, gid: int) -> None:
    """Give up root for ``uid`` and ``gid``; keep only the capability to pass through folders, if any."""
    permitted = permitted_capabilities()
    kept = next((bit for bit in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if permitted >> bit & 1), None)
    if kept is not None:
        try:
            _call("prctl", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        except OSError:  # No CAP_SETPCAP: then only folders open to everyone can be reached.
            kept = None
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if kept is not None:
        mask = 1 << kept
        data = (_Data * 2)()
        data[0].effective = data[0].permitted = data[0].inheritable = mask
        _call("capset", ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), data)
        _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept, 0, 0)
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]))
    try:
        os.execv(sys.argv[3], sys.argv[3:])
    except OSError as error:
        sys.exit(f"{sys.argv[3]}: {error.strerror} for uid {sys.argv[1]}")
