"""Folders of invented bars in the form of vendors' files, to try `harmony init` on.

python -m harmony_pipeline.testing.vendor_formats                 # all
python -m harmony_pipeline.testing.vendor_formats binance_spot kibot --folder bars
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harmony_pipeline.testing.vendor_formats.folders import FOLDERS

FOLDER = Path(".harmony/generated/vendor_formats")


def main(arguments: Sequence[str]) -> int:
    """Write the requested folders and print them; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m harmony_pipeline.testing.vendor_formats",
        description="bars of invented prices in the form of vendors' files",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(FOLDERS)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in FOLDERS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(FOLDERS)}")
    for name in chosen.names or FOLDERS:
        paths = FOLDERS[name].write(chosen.folder / name, FOLDERS[name].bars())
        sys.stdout.write(f"wrote {len(paths)} files into {chosen.folder / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
