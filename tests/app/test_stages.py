"""Where a request's time goes."""

import asyncio
import re
import threading
from time import sleep

from starlette.testclient import TestClient

from app import stages
from app.stages import record, stage, totals


def test_outside_of_a_request_nothing_happens() -> None:
    def work() -> None:
        record("infer", 1.0)
        with stage("encode"):
            pass

    thread = threading.Thread(target=work)  # its context has seen no request
    thread.start()
    thread.join()


def test_threads_of_a_request_count_and_requests_stay_apart() -> None:
    def encode() -> None:
        with stage("encode"):
            sleep(0.01)

    async def request(seconds: float) -> dict[stages.Stage, float]:
        timings = stages.begin()
        record("infer", seconds)
        await asyncio.sleep(0)
        record("infer", seconds)
        record("read", 0.5)
        await asyncio.to_thread(encode)
        return totals(timings)

    async def both() -> list[dict[stages.Stage, float]]:
        return await asyncio.gather(request(1.0), request(2.0))

    first, second = asyncio.run(both())
    assert set(first) == {"read", "infer", "encode"}
    assert (first["infer"], second["infer"], first["read"]) == (2.0, 4.0, 0.5)
    assert first["encode"] >= 0.01


def test_a_data_call_tells_its_stages_in_milliseconds(client: TestClient, seven: bytes) -> None:
    answer = client.post("/v1/encode", files={"images": seven})
    timing = answer.headers["server-timing"]
    assert re.fullmatch(r"read;dur=\d+\.\d{3}, preprocess;dur=\d+\.\d{3}.*, encode;dur=\d+\.\d{3}", timing), timing
    assert "server-timing" not in client.get("/healthz").headers
