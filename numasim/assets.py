"""Where the files shipped beside the code are: in a wheel under numasim/_shipped, in a checkout beside the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """Folder of shipped files, such as "models" or "calibration/hosts".

    Raises FileNotFoundError if the installation lacks it.
    """
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        if (root / folder).is_dir():
            return root / folder
    raise FileNotFoundError(f"numasim was installed without its folder {folder}")
