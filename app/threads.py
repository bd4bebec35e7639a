"""Where work is done: what is short on the event loop, what is long in a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


async def off_loop_if(
    large: bool,
    function: Callable[[*Arguments], Result],
    *arguments: *Arguments,
    executor: Executor | None = None,
) -> Result:
    """Call a function: in a thread if its work is large, else here, since to hand it over costs 50 microseconds.

    Whoever is cancelled leaves at once, and what has not begun never does. A thread cannot: it ends its work.

    Args:
        executor: whose threads, and so how many at once; left out, the event loop's own.
    """
    if not large:
        return function(*arguments)
    context = copy_context()
    job = [lambda: context.run(function, *arguments)]
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, lambda: job.pop()())
    except asyncio.CancelledError:
        job.clear()  # the executor forgets what was cancelled once a thread comes to it, and a body is large
        raise
