"""numasim: what memory placement costs on NUMA machines, simulated, with the causes.

import numasim as ns
result = ns.run("icx-8360y-2s", "list", length="1e6", order="shuffled", membind=1)
result.access.percentile(99.9); result.stack(above=99.9)
"""

from typing import TYPE_CHECKING, Any

from numasim.errors import UserError

if TYPE_CHECKING:
    from numasim.machine import load as machine
    from numasim.study.run import run, run_scenario
    from numasim.study.scenario import load as scenario

__version__ = "0.1.0"
__all__ = ["UserError", "__version__", "machine", "run", "run_scenario", "scenario"]

_WHERE = {  # imported when first used, so that `import numasim` and --help stay fast
    "machine": ("numasim.machine", "load"),
    "run": ("numasim.study.run", "run"),
    "run_scenario": ("numasim.study.run", "run_scenario"),
    "scenario": ("numasim.study.scenario", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'numasim' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
