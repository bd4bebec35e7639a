"""The `reparam` command."""

import signal
import sys


def main() -> None:
    """Run the command: an expected error is one line on stderr and exit status 1."""
    if sys.argv[1:2] == ["serve"]:
        # Would end it until a server can hear it: it waits from now on, before a second of imports.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from app.cli.commands import run

    run()
