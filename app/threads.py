"""Where work is done: what is short on the event loop, what is long in a thread."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


async def off_loop_if(
    large: bool,
    function: Callable[[*Arguments], Result],
    *arguments: *Arguments,
    limiter: CapacityLimiter | None = None,
) -> Result:
    """Call a function: in a thread if its work is large, else here, since to hand it over costs 50 microseconds.

    Whoever is cancelled leaves at once. A thread cannot: it ends its work, and counts for the limiter until then.

    Args:
        limiter: of how many such threads run at once; left out, the service's own.
    """
    if not large:
        return function(*arguments)
    limiter = limiter or current_default_thread_limiter()
    work = object()
    await limiter.acquire_on_behalf_of(work)
    thread = asyncio.get_running_loop().run_in_executor(None, copy_context().run, function, *arguments)
    thread.add_done_callback(lambda _: limiter.release_on_behalf_of(work))
    return await asyncio.shield(thread)
