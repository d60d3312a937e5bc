"""What is simulated: machine models in TOML, their checks, and the topology made of them."""

import sys
from collections.abc import Mapping
from types import ModuleType

from numasim.machine.loading import from_tables, from_toml_text, load, names
from numasim.machine.model import Machine
from numasim.machine.topology import Topology

__all__ = ["Machine", "Topology", "from_tables", "from_toml_text", "load", "names"]


class _Callable(ModuleType):
    """`numasim.machine("icx-8360y-2s")` loads a machine, although `numasim.machine` is also this package."""

    def __call__(self, name_or_path: str, set: Mapping[str, object] | None = None) -> Machine:
        """As `load`."""
        return load(name_or_path, set or {})


sys.modules[__name__].__class__ = _Callable
