"""The tables of the terminal, as tables of a page."""

import io
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from rich.table import Table

from numasim.results.figures import console
from numasim.results.page.markup import name, table, tag, wide
from numasim.results.result import Result
from numasim.results.table import sections

DRAWN = ("", "over time")  # columns of bars and sparklines: the charts say the same


def tables(result: Result) -> Iterator[Element]:
    """Everything `numasim run` prints, table by table."""
    for found in sections(result, console(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))):
        title = str(found.title or "")
        if found.columns:
            yield wide(_table(found, title), title)
        elif title:
            yield tag("p", title)


def _table(found: Table, title: str) -> Element:
    shown = [column for column in found.columns if str(column.header) not in DRAWN]
    columns = [[str(cell) for cell in column.cells] for column in shown]
    words = ["word" if column.justify != "right" else None for column in shown]
    heads = [tag("th", str(column.header), scope="col", class_=word) for column, word in zip(shown, words, strict=True)]
    rows = []
    for first, *rest in zip(*columns, strict=True):
        cells = [tag("td", cell, class_=word) for cell, word in zip(rest, words[1:], strict=True)]
        rows.append(tag("tr", tag("th", name(first), scope="row"), cells, class_="sum" if first == "sum" else None))
    return table(title, heads, rows)
