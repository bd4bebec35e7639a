"""How the commands that compute for hours hold memory."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let malloc keep what is freed for what is asked for next, rather than give it back to the system.

    A training step frees and asks for the same large buffers as the one before. Given back, each comes anew from the
    system, page by page, which takes about a tenth of a convolutional step. Where the C library is not glibc nothing
    is done.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST)
