"""Compiling the readers' inner loops. Without numba (a browser) the same functions run as plain Python, slowly."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def inlined(function: F) -> F:
    """A function that compiled code calls: plain when called from Python."""
    try:
        from numba import extending
    except ImportError:
        return function
    jitable: Any = extending.register_jitable
    return cast(F, jitable(forceinline=True)(function))


def compiled(function: F) -> F:
    """A function Python calls: compiled at its first call, and kept on disk where a private folder can be written.

    numba judges the age of cached code by one source file's time and size. So the folder carries a hash of every source
    of this package: changed sources never find old code.
    """
    try:
        import numba
    except ImportError:
        return function
    folder = _folder(str(numba.__version__))
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, folder  # read now; other users of numba keep theirs
    try:
        njit: Any = numba.njit  # without counting references: 4 times as fast, as scan() makes no array
        return cast(F, njit(cache=bool(folder), nogil=True, _nrt=False)(function))
    finally:
        config.CACHE_DIR = before


def _folder(version: str) -> str:
    """A folder of the user's alone (what lies in it is loaded as code); "" if there is none."""
    digest = hashlib.sha256(version.encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    roots = [os.environ.get("NUMASIM_CACHE"), os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~/.cache")]
    for root in filter(None, roots):
        with contextlib.suppress(OSError):
            folder = Path(root, "numasim", f"traces-{digest.hexdigest()[:16]}")
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if _private(folder.parent) and _private(folder):
                return str(folder)
    return ""


def _private(folder: Path) -> bool:
    """Can only we write here?"""
    info = folder.lstat()
    ours = not hasattr(os, "getuid") or (info.st_uid == os.getuid() and not info.st_mode & 0o022)
    return ours and stat.S_ISDIR(info.st_mode) and os.access(folder, os.W_OK)
