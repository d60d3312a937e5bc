"""The files a verb writes beside what it prints: checked before a long run, written after it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numasim.results.result import Of, Result


class Files:
    """A name for each kind of file that was asked for. Raises UserError at once for one that cannot be written."""

    def __init__(self, **names: str | None) -> None:
        from numasim.results import json as stored

        self.names = {kind: name for kind, name in names.items() if name is not None}
        for kind, name in self.names.items():
            stored.check_writable(name, f"--{kind}")

    def write(self, result: Result, of: Of = "access", group: str | None = None) -> None:
        """Write them all; what is to be said of one goes to standard error. of, group: for a kind with one curve."""
        from numasim.results import exports, page
        from numasim.results import json as stored

        for kind, name in self.names.items():
            if kind == "output":
                stored.write(result, name)
            elif kind == "html":
                page.write(result, name)
            else:
                for line in exports.write(result, kind, name, of=of, group=group):
                    print(line, file=sys.stderr)
