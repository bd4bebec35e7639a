"""How many digits a second `reparam serve` encodes, in batches, over HTTP: JSON with base64 PNG files in, JSON out."""

import asyncio
import base64
import json
import time
from pathlib import Path

import httpx
import numpy as np

from app.images import png
from app.settings import Settings
from models.data import load_mnist
from tests.e2e.server import running

MNIST = Path(__file__).resolve().parent.parent / "tests" / "data" / "mnist"
WORKERS = 2
CALLERS = 4  # at once
BATCH = 128  # digits a request
REQUESTS = 100
WARM = 10


async def _encode(url: str, body: bytes, requests: int) -> float:
    """Digits a second."""
    headers = {"content-type": "application/json"}
    left = iter(range(requests))
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:

        async def caller() -> None:
            for _ in left:
                (await client.post(url, content=body, headers=headers)).raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return requests * BATCH / (time.perf_counter() - began)


def main() -> None:
    digits = load_mnist(MNIST, "test").images[:BATCH].astype(np.float32) / 255
    body = json.dumps({"images": [base64.b64encode(png(digit)).decode() for digit in digits]}).encode()
    with running(REPARAM_WORKERS=str(WORKERS), REPARAM_ACCESS_LOG="false") as (url, _):
        for folder in Settings().checkpoint_folders():
            address = f"{url}/v1/encode?model={folder.name}"
            asyncio.run(_encode(address, body, WARM))
            rates = sorted(asyncio.run(_encode(address, body, REQUESTS)) for _ in range(3))
            print(
                f"encoding with {folder.name}: {rates[1]:,.0f} images/s (median of {len(rates)}; {rates[0]:,.0f} to "
                f"{rates[-1]:,.0f}; {WORKERS} workers, {CALLERS} callers, {BATCH} PNG files a request)"
            )


if __name__ == "__main__":
    main()
