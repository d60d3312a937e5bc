"""The native benchmark: compiled by the host's C compiler when it is first used, then kept."""

import contextlib
import hashlib
import os
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from numasim.assets import shipped
from numasim.errors import UserError

FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-pthread")
_COMPILE_S = 300


class Native(NamedTuple):
    """The compiled program. sources: SHA-256 of what it was compiled from; compiler: how the compiler calls itself."""

    program: Path
    sources: str
    compiler: str

    def call(self, words: Sequence[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """What the program prints for these words."""
        return subprocess.run(
            [str(self.program), *words], input=stdin, capture_output=True, text=True, errors="replace", check=False
        )


def sources() -> list[Path]:
    """The C files and headers, in order."""
    folder = shipped("calibration/native")
    return sorted([*folder.glob("*.c"), *folder.glob("*.h")])


def digest() -> str:
    """SHA-256 of the sources, names included."""
    found = hashlib.sha256()
    for path in sources():
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def build() -> Native:
    """The program, compiled now or earlier with the compiler of $CC, or cc.

    Raises UserError where there is no compiler, or it fails. What lies in the cache is run, so the folder must be the
    user's alone; where there is no such folder, a new one in the folder for temporary files is used.
    """
    if not sys.platform.startswith("linux"):
        raise UserError(f"measures Linux hosts, not {sys.platform}", "measure", "--emit DIR, and run.sh on the host")
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    version = _version(compiler)
    hashed = digest()
    key = hashlib.sha256("\0".join([hashed, version, *compiler, *FLAGS]).encode()).hexdigest()[:16]
    folder = _folder(f"native-{key}") or Path(tempfile.mkdtemp(prefix="numasim-native-"))
    program = folder / "numasim-native"
    if not os.access(program, os.X_OK):
        _compile(compiler, program)
    return Native(program, hashed, version)


def _version(compiler: Sequence[str]) -> str:
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
        raise UserError(
            f"no C compiler {compiler[0]!r}", "measure", "one such as gcc, or its name in $CC; or --emit DIR"
        ) from None
    return done.stdout.partition("\n")[0].strip() or compiler[0]


def _compile(compiler: Sequence[str], program: Path) -> None:
    beside = program.with_name(f".{program.name}.{os.getpid()}")
    files = [str(path) for path in sources() if path.suffix == ".c"]
    try:
        done = subprocess.run(
            [*compiler, *FLAGS, "-o", str(beside), *files, "-lm"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMPILE_S,
            check=False,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
            raise UserError(
                f"{compiler[0]} fails: {lines[0] if lines else 'it says nothing'}", "measure", "a C11 compiler"
            )
        os.replace(beside, program)
    except subprocess.TimeoutExpired:
        raise UserError(f"{compiler[0]} does not come back", "measure", "a C11 compiler") from None
    finally:
        beside.unlink(missing_ok=True)


def _folder(name: str) -> Path | None:
    """A folder of the user's alone for this name; None if there is none."""
    roots = [os.environ.get("NUMASIM_CACHE"), os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~/.cache")]
    for root in filter(None, roots):
        with contextlib.suppress(OSError):
            folder = Path(root, "numasim", name)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if _private(folder.parent) and _private(folder):
                return folder
    return None


def _private(folder: Path) -> bool:
    """Can only we write here?"""
    info = folder.lstat()
    ours = info.st_uid == os.getuid() and not info.st_mode & 0o022
    return ours and stat.S_ISDIR(info.st_mode) and os.access(folder, os.W_OK)
