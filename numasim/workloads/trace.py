"""trace: replays the recorded trace of a real program."""

from dataclasses import dataclass

from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.settings import key, text


@workload("trace")
@dataclass(frozen=True)
class Trace(Workload):
    """Replays a trace that `numasim trace record` or `convert` made: its threads, its addresses, its regions."""

    file: str = key(text(), "", "path of the trace")
    dependence: str = key(text(), "", "how loads depend: chain, none, window:N, exact; default: as the trace says")

    def threads(self) -> int:
        """As many as were recorded."""
        from numasim.traces.parquet import Reader

        if not self.file:
            raise self.error("file", "no trace given", "file=PATH, made by `numasim trace record` or `convert`")
        return max(1, len(Reader(self.file).meta.threads))

    def build(self, ctx: Context) -> Program:
        """The regions are the trace's, first touched by the first thread. `notes` name the rule of dependence."""
        from numasim.traces import replay

        if len(ctx.threads) != self.threads():
            raise self.error("threads", f"{len(ctx.threads)} threads", f"{self.threads()}, as many as were recorded")
        rule = self.dependence or None
        recorded = replay.program(self.file, ctx.space, rule, touch_node=ctx.nodes[0])
        threads = [
            ThreadProgram(t.lap, t.lap_accesses, True, operations=t.operations, counts=t.counts, tokens=t.tokens)
            for t in recorded.threads
        ]
        return Program(threads, recorded.sites, (f"dependence={recorded.dependence}",))
