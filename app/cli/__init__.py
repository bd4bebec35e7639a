"""The `reparam` command."""

import os
import signal
import sys


def _open_standard_streams() -> None:
    """Where one was closed: the next file or socket would take its place, and be written to as if it were the log."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # each the lowest descriptor that is free
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: PTH123, SIM115  it stays open
            os.set_inheritable(stream.fileno(), True)  # to the workers, who would have another's in its place
            setattr(sys, name, stream)


def main() -> None:
    """Run the command: an expected error is one line on stderr and exit status 1."""
    _open_standard_streams()
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # another program's: workers have a folder of their own
    if sys.argv[1:2] == ["serve"]:
        # Before a second of imports, until a server takes them: a stop ends the process at once, where an exception
        # might be lost in a library, and a container's first process would not hear it; a reload waits.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from app.cli.commands import run

    run()
