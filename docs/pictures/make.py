"""Makes the pictures of docs/reading-results.md: `python docs/pictures/make.py`.

Needs chromium, and what the tests need. The page is that of examples/noisy_neighbour.toml; its pictures are what a
browser shows of it. They change when the model does: look at them before you keep them.
"""

import re
import sys
import tempfile
from pathlib import Path
from shutil import which
from typing import Any

from PIL import Image

from numasim.engine.output import ACCESS_CAUSES
from numasim.results import Result, page
from numasim.study import scenario
from numasim.study.run import run_scenario

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLOURS = 255  # of a picture: few look different, and it is half the size
DESKTOP, PHONE = (840, 960), (360, 760)
PARTS = {"why": "main > section:nth-of-type(2)", "traffic": "main > section:nth-of-type(3)",
         "time": "main > section:nth-of-type(4)"}  # fmt: skip

CHASE = """
machine = "icx-8360y-2s"
[[group]]
name = "chaser"
workload = "chase"
size = "256MiB"
pages = "2m"
cpus = "0"
membind = "{node}"
accesses = 20_000
"""
NEIGHBOURS = """
[[group]]
name = "neighbours"
workload = "stream"
size = "64MiB"
pages = "2m"
threads = 30
cpus = "1-30"
membind = "1"
warmup = 0
accesses = 1_500_000
"""


def simulated(text: str, folder: Path) -> Result:
    """The result of a scenario given as text."""
    file = folder / "scenario.toml"
    file.write_text(text)
    return run_scenario(scenario.load(str(file)))


def main() -> None:
    """All pictures, beside this file."""
    sys.path.insert(0, str(ROOT / "tests"))
    from end_to_end.browser import Browser

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_ways(folder)
        file = folder / "page.html"
        page.write(run_scenario(scenario.load(str(ROOT / "examples" / "noisy_neighbour.toml"))), file)
        with Browser(str(which("chromium")), folder / "profile") as browser:
            browser.screen(*DESKTOP)
            browser.open(file)
            browser.picture(HERE / "page.png")
            for part, selector in PARTS.items():
                browser.picture(HERE / f"{part}.png", selector)
            browser.screen(*PHONE, dark=True, phone=True)
            browser.open(file)
            browser.picture(HERE / "phone.png")
    for picture in HERE.glob("*.png"):
        Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)
        print(f"{picture.name}: {picture.stat().st_size // 1024} KiB")


def draw_ways(folder: Path) -> None:
    """One load that misses all caches: near, far, and far while others use the same link; a bar of causes each."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = {
        "its own node's memory": simulated(CHASE.format(node=0), folder),
        "the other node's": simulated(CHASE.format(node=1), folder),
        "the other node's,\n30 others reading it": simulated(CHASE.format(node=1) + NEIGHBOURS, folder),
    }
    with rc_context({"font.size": 10, "hatch.color": "white", "hatch.linewidth": 1.2}):
        figure = Figure(figsize=(8.4, 2.9), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for place, result in enumerate(rows.values()):
            draw_bar(axes, place, result.groups["chaser"].access.stack_ns)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.set_xlabel("ns, mean of one load")
        axes.set_xlim(0, 1.14 * axes.dataLim.x1)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        known = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        inside = [cause for cause in ACCESS_CAUSES if cause in known]  # in the order of the bars
        handles = [known[cause] for cause in inside]
        axes.legend(handles, inside, ncols=9, loc="lower left", bbox_to_anchor=(-0.2, 1), frameon=False,
                    handlelength=1.1, columnspacing=1.0)  # fmt: skip
        figure.savefig(HERE / "ways.png", dpi=100)


def draw_bar(axes: Any, place: int, stack: dict[str, float]) -> None:
    """The causes one after the other, in the page's colours; those of a nanosecond or more."""
    css = (ROOT / "numasim" / "results" / "page" / "page.css").read_text()
    left, total = 0.0, sum(stack.values())
    for cause, value in stack.items():
        if value >= 1:
            colour = re.search(rf"--{cause}: (#\w+)", css)
            hatch = "////" if cause.endswith("_wait") else "...." if cause == "refresh" else None
            axes.barh(place, value, left=left, height=0.6, color=colour and colour[1], hatch=hatch, edgecolor="white",
                      linewidth=0.8, label=cause)  # fmt: skip
            left += value
    axes.text(total + 5, place, f"{total:.0f} ns", va="center")


if __name__ == "__main__":
    main()
