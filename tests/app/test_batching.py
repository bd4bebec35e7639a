"""What waits while a model is busy becomes one forward pass."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.batching import BatchQueue, OverloadedError


class Recorder:
    """A pass that can be held, and what the queue told."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.passes: list[tuple[str, int]] = []
        self.open = threading.Event()
        self.open.set()

    def double(self, rows: np.ndarray) -> tuple[np.ndarray, None]:
        self.open.wait(10)
        self.shapes.append(rows.shape)
        if (rows < 0).any():
            raise ValueError("negative")
        return 2 * rows, None

    def passed(self, function: str, rows: int, seconds: float) -> None:
        assert seconds >= 0
        self.passes.append((function, rows))


def _queue(recorder: Recorder, *, threaded: bool = False, max_waiting: int = 100) -> BatchQueue:
    passes = {"double": recorder.double, "again": recorder.double}
    inline = () if threaded else passes
    return BatchQueue(
        passes, dict.fromkeys(passes, (1, 2, 4, 8)), max_waiting, ThreadPoolExecutor(1), inline, recorder.passed
    )


def _rows(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


@pytest.mark.parametrize("threaded", [False, True])
def test_what_comes_together_shares_a_pass_of_a_warmed_size(threaded: bool) -> None:
    recorder = Recorder()

    async def main() -> list[np.ndarray]:
        queue = _queue(recorder, threaded=threaded)
        results = await asyncio.gather(*(queue.run("double", _rows(i, i + 0.5)) for i in range(3)))
        assert all(result.columns[1] is None for result in results)
        assert all(result.queue_s >= 0 and result.infer_s > 0 for result in results)
        assert queue.waiting == 0
        return [result.columns[0] for result in results]

    for i, column in enumerate(asyncio.run(main())):
        np.testing.assert_array_equal(column, _rows(2 * i, 2 * i + 1))
    assert recorder.passes == [("double", 6)] and recorder.shapes == [(8, 1)]


def test_bytes_share_a_pass_with_numbers_as_parts_of_255() -> None:
    recorder = Recorder()
    image_bytes = np.arange(256, dtype=np.uint8)[:, None]

    async def main() -> list[np.ndarray]:
        queue = _queue(recorder, max_waiting=300)
        numbers, whole, few = await asyncio.gather(
            *(queue.run("double", rows) for rows in (_rows(0.5), image_bytes, image_bytes[51:52]))
        )
        return [numbers.columns[0], whole.columns[0], few.columns[0]]

    numbers, whole, few = asyncio.run(main())
    np.testing.assert_array_equal(numbers, _rows(1))
    np.testing.assert_array_equal(whole, 2 * (np.arange(256, dtype=np.float32)[:, None] / np.float32(255)))
    np.testing.assert_array_equal(few, 2 * (_rows(51) / np.float32(255)))
    assert whole.dtype == np.float32 and recorder.shapes[0] == (8, 1)


def test_what_waits_for_the_thread_shares_the_next_pass() -> None:
    recorder = Recorder()

    async def main() -> None:
        queue = _queue(recorder, threaded=True)
        recorder.open.clear()
        first = asyncio.create_task(queue.run("double", _rows(1)))
        while queue.waiting or not queue._busy:
            await asyncio.sleep(0)
        others = [asyncio.create_task(queue.run("double", _rows(i))) for i in (2, 3, 4)]
        other_function = asyncio.create_task(queue.run("again", _rows(5)))
        await asyncio.sleep(0.01)
        assert queue.waiting == 4 and queue.age_s >= 0.01
        recorder.open.set()
        await asyncio.gather(first, *others, other_function)
        assert queue.waiting == 0 and queue.age_s == 0

    asyncio.run(main())
    assert recorder.passes == [("double", 1), ("double", 3), ("again", 1)]


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("late", [1, 2])
def test_callers_that_come_back_share_a_pass_with_those_that_came_meanwhile(late: int, threaded: bool) -> None:
    recorder = Recorder()

    async def main() -> None:
        queue = _queue(recorder, threaded=threaded)

        async def call(turns: int) -> None:
            for _ in range(5):
                for _ in range(turns):  # the answer goes out, and the next request comes in
                    await asyncio.sleep(0)
                await queue.run("double", _rows(1))
                turns = 2

        await asyncio.gather(*(call(turns) for turns in (0, 0, late, late)))

    asyncio.run(main())
    assert recorder.passes[0] == ("double", 2)
    assert recorder.passes[1:5] == [("double", 4)] * 4


@pytest.mark.parametrize("threaded", [False, True])
def test_many_rows_take_several_passes_and_let_others_between(threaded: bool) -> None:
    recorder = Recorder()
    order = []

    async def main() -> None:
        queue = _queue(recorder, threaded=threaded)

        async def call(name: str, function: str, rows: np.ndarray) -> None:
            result = await queue.run(function, rows)
            np.testing.assert_array_equal(result.columns[0], 2 * rows)
            order.append(name)

        many = np.arange(43, dtype=np.float32)[:, None]
        await asyncio.gather(call("many", "double", many), call("few", "again", _rows(1, 2)))

    asyncio.run(main())
    assert order == ["few", "many"]
    assert sum(rows for function, rows in recorder.passes if function == "double") == 43
    assert all(shape[0] in (1, 2, 4, 8) for shape in recorder.shapes)


@pytest.mark.parametrize("threaded", [False, True])
def test_one_that_fails_does_not_fail_its_neighbours(threaded: bool) -> None:
    recorder = Recorder()

    async def main() -> list[object]:
        queue = _queue(recorder, threaded=threaded)
        calls = [queue.run("double", _rows(value)) for value in (1, -1, 3)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert queue.waiting == 0
        assert (await queue.run("double", _rows(7))).columns[0].item() == 14  # and it goes on
        return outcomes

    good, bad, last = asyncio.run(main())
    assert isinstance(bad, ValueError)
    assert (good.columns[0].item(), last.columns[0].item()) == (2, 6)


@pytest.mark.parametrize("threaded", [False, True])
def test_a_failure_in_a_later_pass_fails_the_whole_and_leaves_nothing_behind(threaded: bool) -> None:
    recorder = Recorder()

    async def main() -> None:
        queue = _queue(recorder, threaded=threaded)
        with pytest.raises(ValueError, match="negative"):
            await queue.run("double", np.r_[np.ones(20), -np.ones(20)].astype(np.float32)[:, None])
        assert queue.waiting == 0

    asyncio.run(main())
    assert len(recorder.passes) == 3  # of five


def test_whoever_is_cancelled_leaves_the_queue() -> None:
    recorder = Recorder()

    async def main() -> None:
        queue = _queue(recorder, threaded=True)
        recorder.open.clear()
        big = asyncio.create_task(queue.run("double", np.ones((20, 1), np.float32)))
        while not queue._busy or queue.waiting == 20:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(queue.run("double", _rows(2)))
        staying = asyncio.create_task(queue.run("double", _rows(3)))
        await asyncio.sleep(0)
        waiting.cancel()
        big.cancel()  # between two of its passes
        await asyncio.sleep(0)
        recorder.open.set()
        assert (await staying).columns[0].item() == 6
        assert queue.waiting == 0
        assert waiting.cancelled() and big.cancelled()

    asyncio.run(main())
    assert recorder.passes == [("double", 8), ("double", 1)]


def test_over_the_bound_a_call_is_refused_at_once() -> None:
    recorder = Recorder()

    async def main() -> None:
        queue = _queue(recorder, threaded=True, max_waiting=10)
        recorder.open.clear()
        large = asyncio.create_task(queue.run("double", np.ones((50, 1), np.float32)))  # nobody waits: it is taken
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match=r"at most 10 images.*REPARAM_MAX_QUEUE_IMAGES"):
            await queue.run("double", _rows(1))
        large.cancel()
        recorder.open.set()
        while queue.waiting:
            await asyncio.sleep(0.01)
        assert (await queue.run("double", _rows(1))).columns[0].item() == 2

    asyncio.run(main())
