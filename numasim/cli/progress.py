"""Narration on stderr: how far a run is, shown on a terminal only; and what Ctrl-C does until there is something."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, float], None]
"""Called with what is being done, and how much of it is done (0 to 1; below 0: nobody knows)."""


@contextmanager
def progress() -> Iterator[Report]:
    """A bar on stderr while the block runs, gone afterwards; nothing if stderr is no terminal. Then the time that is
    left, or while nobody knows that, the time so far, and what is being done."""
    if not sys.stderr.isatty():
        yield lambda what, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    what = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    columns = BarColumn(10), TimeRemainingColumn(compact=True, elapsed_when_finished=True), what
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("", total=None)

        def update(what: str, done: float) -> None:
            bars.update(task, description=what, completed=done, total=1.0 if done >= 0 else None)

        yield update


@contextmanager
def leave_at_once() -> Iterator[Callable[[], None]]:
    """Ctrl-C ends the process at once until the yielded function is called: nothing is half done before. (An exception
    would be lost where Python calls back during an import, and the simulation would begin all the same.)"""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def leave(number: int, frame: object) -> None:
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the bar has hidden the cursor
        os.write(2, f"{shown}numasim: interrupted\n".encode())
        os._exit(128 + number)

    def begun() -> None:
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield begun
    finally:
        begun()
