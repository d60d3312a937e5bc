"""Narration on stderr: how far a run is, shown on a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, float], None]
"""Called with what is being done, and how much of it is done (0 to 1; below 0: nobody knows)."""


@contextmanager
def progress() -> Iterator[Report]:
    """A bar on stderr while the block runs, gone afterwards; nothing if stderr is no terminal."""
    import sys

    if not sys.stderr.isatty():
        yield lambda what, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)

        def update(what: str, done: float) -> None:
            bars.update(task, description=what, completed=done, total=1.0 if done >= 0 else None)

        yield update
