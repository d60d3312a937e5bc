"""Everything a host without Python needs to be measured: C sources, Makefile, plan, and a script that runs it."""

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from numasim.assets import shipped
from numasim.calibration import native
from numasim.calibration.host_file import FORMAT, VERSION
from numasim.calibration.protocol import Protocol, digest
from numasim.errors import UserError

_COPIED = ("Makefile", "README.md", "run.sh")


def made_by() -> dict[str, str]:
    """The begin of a file's made_by: versions of numasim and of the C sources, flags of the compiler."""
    try:
        numasim = version("numasim")
    except PackageNotFoundError:
        numasim = "unknown"
    return {"numasim": numasim, "native": native.digest(), "flags": " ".join(native.FLAGS)}


def about(protocol: Protocol, only: Sequence[str], rounds: int) -> str:
    """What run.sh must know, as assignments of sh: the number of rounds, and insides of JSON objects."""
    asked = {"name": protocol.name, "sha256": digest(protocol.plan(rounds)), "rounds": rounds, "only": list(only)}
    objects = {"about": {"format": FORMAT, "version": VERSION}, "made_by": made_by(), "protocol": asked}
    lines = [f"{name}={shlex.quote(json.dumps(value)[1:-1])}" for name, value in objects.items()]
    return "\n".join([f"rounds={rounds}", *lines]) + "\n"


def emit(folder: str | Path, protocol: Protocol, *, only: Sequence[str] = (), rounds: int = 1) -> list[str]:
    """Writes the folder, all or nothing; its files' names. Raises UserError if it is there, or cannot be made."""
    if rounds < 1:
        raise UserError(f"{rounds} rounds", "--rounds", "1 at least")
    target = Path(folder)
    wanted = protocol.only(only)
    texts = {"protocol.plan": wanted.plan(rounds), "about.sh": about(wanted, only, rounds)}
    if not str(folder) or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UserError("is there already, and not empty", str(folder) or "--emit", "the name of a new folder")
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise UserError(
            f"cannot be made: {error.strerror}", str(folder), "a folder in one that can be written"
        ) from None
    try:
        for path in (*native.sources(), *(shipped("calibration/native") / name for name in _COPIED)):
            shutil.copyfile(path, beside / path.name)
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8")
        os.chmod(beside / "run.sh", 0o755)
        os.chmod(beside, 0o755)
        os.replace(beside, target)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise UserError(f"cannot be written: {error.strerror}", str(folder), "a new folder") from None
    return sorted(path.name for path in target.iterdir())
