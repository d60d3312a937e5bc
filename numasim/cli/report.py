"""numasim report: what the tail of a run is made of."""

import sys
from typing import Annotated

import typer

from numasim.cli import options


def report(
    file: Annotated[
        str, typer.Argument(metavar="RUN.json", help="A result of `numasim run` (-o or --json); - for standard input.")
    ],
    above: Annotated[str, typer.Option(help="The percentile where the tail begins.")] = "p99.9",
    group: Annotated[str | None, typer.Option(help="Only this group of threads.")] = None,
    of: Annotated[str, typer.Option(metavar="access|operation", help="Whose latencies.")] = "access",
    json: options.Json = False,
    html: options.Html = None,
    parquet: options.Parquet = None,
    hgrm: options.Hgrm = None,
    perfetto: options.Perfetto = None,
) -> None:
    """Say what a run's slowest accesses are made of: causes, call sites, regions. Or write the run in another form."""
    from numasim.cli.files import Files
    from numasim.cli.words import given
    from numasim.results import json as stored
    from numasim.results import report as written
    from numasim.results.figures import console

    file = given(file, "RUN.json", "a file, or -")
    files = Files(html=html, parquet=parquet, hgrm=hgrm, perfetto=perfetto)
    percentile, whose = written.parse_above(above), written.parse_of(of)
    result = stored.loads(sys.stdin.buffer.read(), "standard input") if file == "-" else stored.read(file)
    files.write(result, whose, group)
    if json:
        print(stored.text_of(written.to_dict(result, percentile, group, whose)))
    elif not files.names:
        written.show(result, percentile, console(), group, whose)
