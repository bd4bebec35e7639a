"""The statistics of /v2, as several workers share them."""

import asyncio
from pathlib import Path
from typing import Any

from app.oip import Statistics, Took


def _of(statistics: Statistics, name: str) -> dict[str, Any]:
    (document,) = asyncio.run(statistics.documents([name]))
    return document


def _shared(folder: Path, worker: str) -> Statistics:
    return Statistics(str(folder), worker)


def test_workers_tell_what_all_of_them_counted(tmp_path: Path) -> None:
    one, other = _shared(tmp_path, "one"), _shared(tmp_path, "other")
    one.succeed("a.encode", 3, Took(1, 2, 3, 4))
    one.succeed("a.encode", 3, Took(10, 20, 30, 40))
    one.succeed("a.decode", 7, Took(1, 1, 1, 1))
    other.succeed("a.encode", 1, Took(100, 200, 300, 400))
    other.fail("a.encode", 5)
    assert _of(other, "a.encode")["execution_count"] == 1  # its own
    for statistics in (one, other):
        statistics.flush()
    assert _of(one, "a.encode") == _of(other, "a.encode")
    told = _of(one, "a.encode")
    assert (told["inference_count"], told["execution_count"]) == (7, 3)
    assert told["inference_stats"]["success"] == {"count": 3, "ns": 1110}
    assert told["inference_stats"]["fail"] == {"count": 1, "ns": 5}
    assert told["inference_stats"]["queue"] == {"count": 3, "ns": 222}
    assert [(size["batch_size"], size["compute_infer"]) for size in told["batch_stats"]] == [
        (1, {"count": 1, "ns": 300}),
        (3, {"count": 2, "ns": 33}),
    ]
    assert _of(other, "a.decode")["inference_count"] == 7
    assert _of(other, "a.score")["execution_count"] == 0


def test_what_a_worker_counted_outlives_it(tmp_path: Path) -> None:
    for rows in (1, 1, 3):  # one after the other
        ended = _shared(tmp_path, "one")
        ended.succeed("a.encode", rows, Took(1, 1, 1, 1))
        ended.flush()
    for name in ("one", "other"):
        told = _of(_shared(tmp_path, name), "a.encode")
        assert told["inference_count"] == 5
        assert [(size["batch_size"], size["compute_infer"]["count"]) for size in told["batch_stats"]] == [
            (1, 2),
            (3, 1),
        ]
    assert len(list(tmp_path.iterdir())) == 1


def test_sizes_without_end_take_memory_with_an_end(tmp_path: Path) -> None:
    statistics = _shared(tmp_path, "one")
    for rows in range(1, 10_001):
        statistics.succeed("a.encode", rows, Took(1, 1, 1, 1))
    statistics.flush()
    told = _of(statistics, "a.encode")
    assert told["inference_count"] == 10_000 * 10_001 // 2 and told["execution_count"] == 10_000
    sizes = {size["batch_size"]: size["compute_infer"]["count"] for size in told["batch_stats"]}
    assert sizes == dict.fromkeys(range(1, 65), 1) | {2**n: 2 ** (n - 1) for n in range(7, 14)} | {2**14: 1808}
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size < 20_000
