"""Where work is done: what is short on the event loop, what is long in a thread."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


async def off_loop_if(
    large: bool,
    function: Callable[[*Arguments], Result],
    *arguments: *Arguments,
    limiter: CapacityLimiter | None = None,
) -> Result:
    """Call a function: in a thread if its work is large, else here, since to hand it over costs 50 microseconds.

    Args:
        limiter: of how many such threads run at once; left out, the service's own.
    """
    if large:
        return await to_thread.run_sync(function, *arguments, limiter=limiter)
    return function(*arguments)
