"""Files written beside their place and put there in one step: nobody finds half a file."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from numasim.errors import UserError
from numasim.results.json import check_writable


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """The path of a file beside `path` for the block to write; it takes the place of `path` when the block is done.

    An error or Ctrl-C in the block leaves what was there before. Pipes and devices are written to, never replaced.
    Raises UserError if the place cannot be written.
    """
    check_writable(path)
    target, given = Path(path).resolve(), Path(path).absolute()
    is_device = given.is_relative_to("/dev") or (target.exists() and not target.is_file())
    folder = Path(tempfile.gettempdir()) if is_device else target.parent
    beside = folder / f".{target.name[:200]}.{os.getpid()}.part"  # a name may have 255 bytes
    try:
        yield beside
        if is_device:
            with beside.open("rb") as made, given.open("wb") as device:
                shutil.copyfileobj(made, device)
        else:
            os.replace(beside, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(f"cannot write: {why}", str(path), "a file that can be written") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
