"""A command that becomes a program of another package: a server or the daemon of Dagster, a worker
of Celery. It goes on in the same process, which has imported most of what the program needs.
"""

import runpy
import signal
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A module, run as `python -m MODULE ARGUMENTS` runs it. A verb returns it, and it begins when
    the command has ended: signals, warnings and logs are then its own, as in a new process.
    """

    module: str
    arguments: tuple[str, ...]

    def run(self) -> int:
        """Run it to its end; its exit code. Whatever it raises but an exit passes through.

        Ctrl-C and SIGTERM end it also where a shell has started the command in the background, with
        Ctrl-C ignored.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.argv = [self.module, *self.arguments]
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if ended.code is not None and not isinstance(ended.code, int):
                raise  # Python prints what else a program exits with
            return ended.code or 0
        return 0
