"""`numasim`, and `python -m numasim`: Ctrl-C is answered in a line even while the command line is being loaded."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line and exit with its code."""
    before = signal.signal(signal.SIGINT, _interrupted)
    from numasim.cli.app import main as answer

    signal.signal(signal.SIGINT, before)
    answer()


def _interrupted(number: int, frame: FrameType | None) -> None:
    os.write(2, b"numasim: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
