"""Work in threads, and who waits for it."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.threads import off_loop_if


def test_a_thread_counts_until_its_work_is_done_even_if_nobody_waits_for_it() -> None:
    begun, ends = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        ends.wait(60)

    async def main() -> None:
        executor = ThreadPoolExecutor(1)
        gone = asyncio.create_task(off_loop_if(True, work, executor=executor))
        while not begun.is_set():
            await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone  # at once
        following = asyncio.create_task(off_loop_if(True, ends.is_set, executor=executor))
        left: list[bool] = []
        leaving = asyncio.create_task(off_loop_if(True, left.append, True, executor=executor))
        await asyncio.sleep(0.05)
        assert not following.done()
        leaving.cancel()
        await asyncio.wait([leaving])
        ends.set()
        assert await following is True  # so it began when the first had ended
        assert await off_loop_if(True, threading.get_ident, executor=executor)
        assert leaving.cancelled() and not left

    asyncio.run(main())


def test_what_is_cancelled_before_it_begins_leaves_nothing_in_memory() -> None:
    begun, ends = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        ends.wait(60)

    class Body:
        """Of a request."""

    async def main() -> None:
        executor = ThreadPoolExecutor(1)
        first = asyncio.create_task(off_loop_if(True, work, executor=executor))
        while not begun.is_set():
            await asyncio.sleep(0)
        body = Body()
        left = weakref.ref(body)
        leaving = asyncio.create_task(off_loop_if(True, id, body, executor=executor))
        del body
        await asyncio.sleep(0.01)
        assert left() is not None
        leaving.cancel()
        await asyncio.wait([leaving])
        del leaving
        gc.collect()
        assert left() is None
        ends.set()
        await first

    asyncio.run(main())


def test_as_many_run_at_once_as_there_are_threads() -> None:
    meet = threading.Barrier(50)

    async def main() -> None:
        with ThreadPoolExecutor(50) as executor:
            await asyncio.gather(*(off_loop_if(True, meet.wait, 60, executor=executor) for _ in range(50)))

    asyncio.run(main())


def test_an_error_comes_to_who_waits_and_to_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    begun, ends = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        ends.wait(60)
        raise ValueError("bad")

    async def main() -> None:
        ends.set()
        with pytest.raises(ValueError, match="bad"):
            await off_loop_if(True, fail)
        ends.clear()
        begun.clear()
        gone = asyncio.create_task(off_loop_if(True, fail))
        while not begun.is_set():
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        ends.set()

    asyncio.run(main())
    assert not caplog.records


def test_what_is_short_stays_on_the_event_loop() -> None:
    async def main() -> None:
        assert await off_loop_if(False, threading.get_ident) == threading.get_ident()
        assert await off_loop_if(True, threading.get_ident) != threading.get_ident()

    asyncio.run(main())
