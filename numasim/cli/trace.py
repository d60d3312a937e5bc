"""numasim trace: traces of real programs."""

from typing import Annotated

import typer

from numasim.cli import options

app = typer.Typer(help="Work with traces of real programs.")


@app.callback()
def _verbs() -> None:
    """Work with traces of real programs."""


@app.command()
def convert(
    log: Annotated[str, typer.Argument(metavar="LOG", help="A lackey log, plain, .gz or .xz; - for standard input.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The trace to write (Parquet).")],
    json: options.Json = False,
) -> None:
    """Convert a log of valgrind's lackey (--trace-mem=yes) into a trace for `numasim run MODEL trace file=FILE`."""
    from numasim.cli.progress import progress
    from numasim.cli.words import given
    from numasim.traces.readers import lackey

    log, output = given(log, "LOG", "a file, or -"), given(output, "--output", "a file name")
    with progress() as report:
        found = lackey.convert(log, output, progress=lambda lines: report(f"{lines / 1e6:.1f} million lines", -1))
    if json:
        from numasim.results.json import text_of

        print(text_of({"output": output, **found._asdict()}))
        return
    print(
        f"{output}: {found.loads:,} loads, {found.stores:,} stores and {found.instructions:,} instructions "
        f"from {found.lines:,} lines; {found.threads} thread(s), {found.sites:,} call sites"
    )
    if found.markers:
        left_out = found.dropped_before + found.dropped_after
        print(f"Cut by its markers: {left_out:,} lines outside the region of interest were left out.")
