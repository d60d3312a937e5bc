"""Opening logs: plain, gzip or xz (told by their first bytes, not by their names), or standard input, in whole lines.

Decompression is done by Python's gzip and lzma modules, in this process: 10 to 30 M lines a CPU second for xz.
"""

import contextlib
import gzip
import io
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


def name_of(log: str | Any) -> str:
    """How messages call this log."""
    if not isinstance(log, str):
        return str(getattr(log, "name", "the log"))
    return "standard input" if log == "-" else log


@contextlib.contextmanager
def open_log(log: str | Any) -> Iterator[Any]:
    """The uncompressed bytes of a log, to `readinto`; "-" is standard input. UserError if it cannot be opened.

    Also an open binary file, as a pipe's end; it stays open.
    """
    with contextlib.ExitStack() as stack:
        if not isinstance(log, str):
            yield log
            return
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


def first_bytes(log: str, size: int) -> bytes:
    """The first bytes of a log, uncompressed, at most `size`."""
    buffer, full = bytearray(size), 0
    with open_log(log) as stream:
        while full < size and (got := _read(stream, memoryview(buffer)[full:], log)):
            full += got
    return bytes(buffer[:full])


def whole_lines(log: str | Any, size: int) -> Iterator[Lines]:
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


def whole_records(log: str, size: int, width: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Binary records of `width` bytes, `size` of them at a time, as array [records, width], in one buffer used again.

    Raises UserError for a log that ends within a record.
    """
    buffer = np.zeros((size, width), np.uint8)
    view, done, full = buffer.data.cast("B"), 0, 0
    with open_log(log) as stream:
        while got := _read(stream, view[full:], log):
            full += got
            if full == len(view):
                yield buffer
                done, full = done + size, 0
    if full % width:
        where = f"{name_of(log)}: byte {(done + full // width) * width}"
        raise UserError(f"{full % width} bytes at the end", where, f"whole records of {width} bytes")
    if full:
        yield buffer[: full // width]


def _read(stream: Any, into: memoryview, log: str | Any) -> int:
    """Fill what can be filled now; 0 at the end."""
    take = stream.readinto1 if isinstance(stream, io.BufferedReader) else stream.readinto  # a pipe gives what it has
    try:
        return int(take(into))
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"compressed data damaged or cut short: {error}", name_of(log), "a whole .xz or .gz") from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", name_of(log)) from error
