"""The `reparam` command."""

import os
import signal
import sys


def main() -> None:
    """Run the command: an expected error is one line on stderr and exit status 1."""
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # another program's: workers have a folder of their own
    if sys.argv[1:2] == ["serve"]:
        # Before a second of imports, until a server takes them: a stop ends the process at once, where an exception
        # might be lost in a library, and a container's first process would not hear it; a reload waits.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from app.cli.commands import run

    run()
