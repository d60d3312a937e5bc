"""Opening logs: plain, gzip or xz (told by their first bytes, not by their names), or standard input, in whole lines.

Decompression is done by Python's gzip and lzma modules, in this process: 10 to 30 M lines a CPU second for xz.
"""

import contextlib
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError

LONGEST = 1 << 20  # bytes a line may have
PAD = 4  # bytes readable after the last line, so that a scanner may look ahead


class Lines(NamedTuple):
    """Whole lines: raw[:end], or the same bytes as array text[:end]. cut: it is one last line that has no newline."""

    raw: bytearray
    text: npt.NDArray[np.uint8]
    end: int
    cut: bool


def name_of(log: str) -> str:
    """How messages call this log."""
    return "standard input" if log == "-" else log


@contextlib.contextmanager
def open_log(log: str) -> Iterator[Any]:
    """The uncompressed bytes of a log, to `readinto`; "-" is standard input. UserError if it cannot be opened."""
    with contextlib.ExitStack() as stack:
        try:
            raw: Any = sys.stdin.buffer if log == "-" else stack.enter_context(open(log, "rb"))
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", log, "a log, or - for standard input") from error
        head = raw.peek(6)
        if head.startswith(b"\x1f\x8b"):
            raw = stack.enter_context(gzip.GzipFile(fileobj=raw))
        elif head.startswith(b"\xfd7zXZ\0"):
            raw = stack.enter_context(lzma.LZMAFile(raw))
        yield raw


def whole_lines(log: str, size: int) -> Iterator[Lines]:
    """The lines of a log, about `size` bytes at a time, in one buffer that is used again and again."""
    kept = 0  # bytes of a line begun
    buffer = bytearray(size + PAD)
    with open_log(log) as stream:
        while True:
            if kept == len(buffer) - PAD:
                if kept >= LONGEST:
                    raise UserError(f"a line of more than {LONGEST} bytes", name_of(log), "a text log")
                buffer = buffer[:kept] + bytearray(kept + PAD)
            got = _read(stream, memoryview(buffer)[kept:-PAD], log)
            if not got:
                break
            full = kept + got
            end = buffer.rfind(b"\n", kept, full) + 1
            if end:
                yield Lines(buffer, np.frombuffer(buffer, np.uint8), end, False)
                buffer[: full - end] = buffer[end:full]
            kept = full - end
    if kept:
        yield Lines(buffer, np.frombuffer(buffer, np.uint8), kept, True)


def _read(stream: Any, into: memoryview, log: str) -> int:
    """Fill what can be filled now; 0 at the end."""
    try:
        return int(stream.readinto(into))
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"compressed data damaged or cut short: {error}", name_of(log), "a whole .xz or .gz") from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", name_of(log)) from error
