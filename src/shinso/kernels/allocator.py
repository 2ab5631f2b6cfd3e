"""Keeping large freed blocks in the process: on Linux, up to a third of an eager CNN step on a CPU is page faults.

glibc hands every large activation back to the kernel when it is freed and asks for it again, page by page, in the next
step. Three settings of mallopt(3) stop that. It is a property of a whole process: the command line sets it, an
import never does.
"""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 256 * 1024 * 1024
"""bytes asked from the kernel at a time: the bound on what is held in excess"""


def keep_pages() -> bool:
    """Sets the allocator of this process; True if it was set, False elsewhere or with SHINSO_ALLOCATOR=default."""
    if os.environ.get("SHINSO_ALLOCATOR", "") == "default" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, TOP_PAD))
    return all([mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings])
