"""What workers need, imported once: by the process that they are forked from."""

import gc
from contextlib import suppress

with suppress(Exception):  # a worker meets it again, and can tell
    import uvloop  # noqa: F401

    import app.main
    import app.protocol  # noqa: F401

gc.collect()
gc.freeze()  # it stays: a worker that looked through it for garbage would have a copy of its own
