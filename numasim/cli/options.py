"""Options that several verbs share, or that are many: their names, letters and help, apart from what they do."""

from typing import Annotated

import typer

_PLACEMENT, _OUTPUT = "Placement, in numactl's words", "Output"
_NODES = "NODES"

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a machine parameter: links.upi.latency_ns=60; repeatable."),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of everything random.")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="compiled|simpy", help="The fast scheduler (default), or the reference.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel=_OUTPUT)]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Also write the JSON here (for report).", rich_help_panel=_OUTPUT
    ),
]

Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Also write a page for a browser here.", rich_help_panel=_OUTPUT),
]
Parquet = Annotated[
    str | None,
    typer.Option("--parquet", metavar="FILE", help="Also write all buckets as a table.", rich_help_panel=_OUTPUT),
]
Hgrm = Annotated[
    str | None,
    typer.Option("--hgrm", metavar="FILE", help="Also write HdrHistogram's percentiles.", rich_help_panel=_OUTPUT),
]
Perfetto = Annotated[
    str | None,
    typer.Option("--perfetto", metavar="FILE", help="Also write a timeline for Perfetto.", rich_help_panel=_OUTPUT),
]
Intervals = Annotated[
    int | None,
    typer.Option(
        "--intervals",
        metavar="N",
        min=2,
        max=1000,
        help="Say how far the figures may be off: N more runs, on machines as likely as the model.",
        rich_help_panel=_OUTPUT,
    ),
]

Cpunodebind = Annotated[
    str | None,
    typer.Option(
        "-N",
        "--cpunodebind",
        metavar=_NODES,
        help="Run on the CPUs of these nodes (default: 0).",
        rich_help_panel=_PLACEMENT,
    ),
]
Physcpubind = Annotated[
    str | None,
    typer.Option("-C", "--physcpubind", metavar="CPUS", help="Run on these CPUs.", rich_help_panel=_PLACEMENT),
]
Membind = Annotated[
    str | None,
    typer.Option("-m", "--membind", metavar=_NODES, help="Memory on these nodes only.", rich_help_panel=_PLACEMENT),
]
Interleave = Annotated[
    str | None,
    typer.Option("-i", "--interleave", metavar=_NODES, help="Pages on these in turn.", rich_help_panel=_PLACEMENT),
]
WeightedInterleave = Annotated[
    str | None,
    typer.Option(
        "-w",
        "--weighted-interleave",
        metavar=_NODES,
        help="Pages in turn, as many in a row as the nodes' weights say.",
        rich_help_panel=_PLACEMENT,
    ),
]
Preferred = Annotated[
    str | None,
    typer.Option(
        "-p", "--preferred", metavar="NODE", help="Memory here while there is room.", rich_help_panel=_PLACEMENT
    ),
]
Localalloc = Annotated[
    bool,
    typer.Option(
        "-l", "--localalloc", help="Memory on the node that touches it first (default).", rich_help_panel=_PLACEMENT
    ),
]
Pages = Annotated[
    str | None,
    typer.Option(metavar="4k|2m|1g|thp", help="Page size (default: 4k).", rich_help_panel=_PLACEMENT),
]
PageTables = Annotated[
    str | None,
    typer.Option(metavar="NODE", help="Page tables here (default: as their pages).", rich_help_panel=_PLACEMENT),
]
