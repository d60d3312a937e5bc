"""Recording: a program runs under valgrind's lackey, and its log becomes a trace while it is being written.

The log goes through a pipe, so nothing but the trace is on disk, and the program waits when the conversion is behind.
The program's own input and output are not touched. Only the first process is traced: children that it forks run
unseen, and so does what it turns into by exec.
"""

import contextlib
import io
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from numasim.errors import UserError
from numasim.traces import maps, parquet
from numasim.traces.code import images
from numasim.traces.readers import lackey

OPTIONS = (
    "--tool=lackey",
    "--trace-mem=yes",
    "--trace-sched=yes",
    "--basic-counts=no",
    "--vgdb=no",
    "--child-silent-after-fork=yes",
    "--fair-sched=try",  # threads that wait for each other in a loop would wait for long
)
INSTALL = "valgrind: `apt install valgrind`, `dnf install valgrind` or the like"
UNKNOWN_CODE = (b"unhandled instruction bytes", b"Unrecognised instruction")
FAILED = (b"Assertion", b"the 'impossible' happened", b"valgrind: ")
POLL_S = 0.05  # how soon the end of the program is noticed
AT_ONCE_S = 0.02  # bytes of this long are handed on together: a call for each line would cost more than it reads
END_S = 2.0  # that a program told to end may take
LOOKS, LOOKS_AT_FIRST = 0.05, 0.5  # share of the time spent looking at the memory map: later, and in its first seconds,
FIRST_S = 3.0  # where programs set up what they use, and short ones end
SHORT, PAUSE_S = 1 << 14, 0.001  # after a read of fewer bytes it waits, so as not to be woken for each line
TAIL = 1 << 16

Progress = Callable[[int, float], None]
"""Called with the accesses recorded so far and the seconds since the start."""


class Recorded(NamedTuple):
    """What came of a recording.

    converted: what is in the file.  seconds: how long it took.  status: the program's exit status, minus the signal's
    number if one ended it; None: it was ended by this recording.  signal: that told the recording to stop, or 0.
    partial: it was stopped before the program had ended.  became: the program file that it turned into by exec, or "".
    """

    converted: lackey.Converted
    seconds: float
    status: int | None
    signal: int
    partial: bool
    became: str


def record(
    command: Sequence[str],
    output: str | Path,
    *,
    limit_accesses: int | None = None,
    limit_s: float | None = None,
    only: str | int | None = None,
    names: Mapping[int, str] | None = None,
    progress: Progress | None = None,
) -> Recorded:
    """Run a program under valgrind and write its trace to `output`.

    It ends with the program, or about `limit_accesses` recorded loads and stores or `limit_s` seconds after the start,
    or with SIGINT, SIGTERM or SIGHUP: then the program is ended, and what was recorded is kept and marked partial.
    only, names: of named stretches, see readers.lackey.convert.
    Raises UserError, and leaves no file, if valgrind is not installed or fails, if the program cannot be run, if it has
    an instruction valgrind does not know, if nothing was accessed, or if `output` cannot be written.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise UserError("valgrind is not installed", "trace record", INSTALL)
    check_program(command[0])
    with parquet.Writer(output):
        pass  # told before the program does anything
    start = time.monotonic()
    with _running(valgrind, command) as log, _signals(log):

        def report(lines: int, accesses: int) -> None:
            seconds = time.monotonic() - start
            if (limit_accesses is not None and accesses >= limit_accesses) or seconds >= (limit_s or float("inf")):
                log.stopped = True
            if progress:
                progress(accesses, seconds)

        try:
            converted = lackey.convert(
                log,
                output,
                code=log.code,
                stop=lambda: log.stopped,
                regions=log.seen.regions,
                watch=report,
                only=only,
                names=names,
            )
        except UserError as error:
            raise explained(error, log, command[0]) from error
        status = None if log.stopped else log.process.wait()
    return Recorded(converted, time.monotonic() - start, status, log.signal, log.stopped, log.became)


def check_program(program: str) -> None:
    """Raises UserError if there is no such program, or if it may not be run."""
    if shutil.which(program):
        return
    here = Path(program)
    if not here.exists():
        raise UserError("no such program", program or "trace record", "-- PROGRAM ARGUMENTS")
    what = "a folder" if here.is_dir() else "may not be executed" if "/" in program else "not in PATH"
    raise UserError(what, program, "a program, such as ./a.out")


class Log(io.RawIOBase):
    """The log of a running program, read in whole lines; it ends when the program has ended, or was stopped.

    A last line without its end is left out: the program was killed in the middle of it. While it reads it looks at the
    memory map: see `seen`.
    """

    def __init__(self, pipe: int, process: "subprocess.Popen[bytes]", name: str) -> None:
        self.pipe, self.process, self.name = pipe, process, name
        self.begun = b""  # bytes of a line whose end was not read yet
        self.tail = b""  # of what was read last
        self.seen = maps.Seen()
        self.code = images.Live(process.pid)
        self.stopped = False  # set to end it
        self.signal = 0
        self.tool = self.became = ""  # the program file of the process: valgrind's, and another that came after it
        self._next_look, self._first_until = 0.0, time.monotonic() + FIRST_S

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        """Fill what can be filled now with whole lines; 0 at the end."""
        view = memoryview(into).cast("B")
        filled = len(self.begun)
        view[:filled] = self.begun
        until = time.monotonic() + AT_ONCE_S
        while not self.stopped and filled < len(view):
            got = self._read(view[filled:])
            self.look()
            if not got:
                break
            filled += got
            if time.monotonic() > until and bytes(view[max(filled - 4096, 0) : filled]).rfind(b"\n") >= 0:
                break
        last = bytes(view[max(filled - TAIL, 0) : filled])
        whole = filled - (len(last) - 1 - last.rfind(b"\n"))
        self.tail = last or self.tail
        self.begun = bytes(view[whole:filled])
        return whole if b"\n" in last else 0

    def _read(self, into: memoryview) -> int:
        """Wait for some of the log; 0: there will be no more, or it was stopped."""
        while not self.stopped:
            ended = self.process.poll() is not None  # asked before: what it wrote is in the pipe
            if select.select([self.pipe], [], [], 0 if ended else POLL_S)[0]:
                got = os.readv(self.pipe, [into])
                if got < SHORT and not ended:
                    time.sleep(PAUSE_S)
                return got
            if ended:
                return 0
            self.look()
        return 0

    def look(self) -> None:
        """Look at the process's memory map, if it is time to."""
        start = time.monotonic()
        if start < self._next_look or self.became:
            return
        with contextlib.suppress(OSError):
            exe = os.readlink(f"/proc/{self.process.pid}/exe")
            if "lackey" in exe:
                self.tool = exe
                self.seen.look(maps.read(self.process.pid))
                self.code.read(0, 1)  # it too looks at the map then, which a short program may not have for long
            elif self.tool:
                self.became = exe
        now = time.monotonic()
        self._next_look = now + (now - start) / (LOOKS_AT_FIRST if now < self._first_until else LOOKS)

    def end(self) -> None:
        """End the program if it has not ended, with force if it must be; what it still logs is dropped."""
        if self.process.poll() is None:
            self.process.terminate()
        force = time.monotonic() + END_S
        while self.process.poll() is None:
            if time.monotonic() > force:
                self.process.kill()
            if select.select([self.pipe], [], [], POLL_S)[0]:
                os.read(self.pipe, TAIL)


@contextlib.contextmanager
def _running(valgrind: str, command: Sequence[str]) -> Iterator[Log]:
    """The program under valgrind; it has ended when the block is left. The pipe is left at its usual 64 KiB, so that
    the program cannot be far ahead of what was read when it ends and its memory map goes.

    valgrind opens our end of the pipe by its name: a descriptor that is handed down would be seen by the program.
    """
    out, into = os.pipe()
    try:
        line = [valgrind, *OPTIONS, f"--log-file=/proc/{os.getpid()}/fd/{into}", "--", *command]
        log = Log(out, subprocess.Popen(line), command[0])
        try:
            yield log
        finally:
            log.end()
    finally:
        os.close(out)
        os.close(into)


@contextlib.contextmanager
def _signals(log: Log) -> Iterator[None]:
    """Ctrl-C and the like end the recording, not this process."""

    def stop(number: int, frame: object) -> None:
        log.stopped, log.signal = True, number

    try:
        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    except ValueError:  # not the main thread: signals are another's
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def explained(error: UserError, log: Log, program: str) -> UserError:
    """The error of a conversion, or what was behind it."""
    failed = log.stopped
    log.end()
    lines = (log.tail + log.begun).splitlines()
    if any(text in line for line in lines for text in UNKNOWN_CODE):
        return UserError(
            "it was stopped by an instruction that valgrind does not know, such as one of AVX-512",
            program,
            "a build for a smaller instruction set, such as -march=x86-64-v3",
        )
    if log.became:
        return UserError(f"it turned into {log.became} by exec, which is not followed", program, "that program itself")
    said = next((line for line in lines for text in FAILED if text in line), None)
    if said is not None:
        return UserError(f"valgrind failed: {said.decode(errors='replace').strip()}", program)
    if not log.tool and not failed:
        return UserError(f"valgrind could not run it (exit status {log.process.returncode})", program)
    return error
