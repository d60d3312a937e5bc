"""What a run returns: distributions with their causes, counters and loads; as JSON, as tables, as a report."""

from numasim.results.distribution import Distribution
from numasim.results.host import Host
from numasim.results.loads import LinkLoad, MemoryLoad
from numasim.results.result import Group, Result, TailRow

__all__ = ["Distribution", "Group", "Host", "LinkLoad", "MemoryLoad", "Result", "TailRow"]
