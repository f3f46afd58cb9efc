"""Compile every kernel into the cache once, so that no first run waits: `python -m harmony_pipeline.warm`, part of `make setup`.

It runs the smallest whole chain there is, a few weeks of two simulated symbols, in a temporary folder.
"""

import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run the tiny chain and say how long the kernels took."""
    from harmony_pipeline.testing.tiny import tiny_market

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="harmony-warm-") as folder:
        work = tiny_market(Path(folder))
        from harmony_pipeline.stages.everything import run_stages

        run_stages(work)
    sys.stdout.write(f"compiled the kernels in {time.monotonic() - started:.0f} s (cached from now on)\n")


if __name__ == "__main__":
    main()
