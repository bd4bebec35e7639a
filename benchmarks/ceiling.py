"""The least that a service must do that reads a PNG file with Pillow: what `reparam serve` cannot be faster than.

Run: ANSWER=answer.json uvicorn benchmarks.ceiling:app
"""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Request, Response
from PIL import Image

answer = Path(os.environ["ANSWER"]).read_bytes()
app = FastAPI()


@app.post("/encode")
async def encode(request: Request) -> Response:
    """Read the image, and answer the same whatever it shows."""
    with Image.open(BytesIO(await request.body())) as image:
        np.asarray(image)
    return Response(answer, media_type="application/json")
