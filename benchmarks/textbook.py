"""The service that a tutorial would write around the same weights: what `reparam serve` is compared with.

Run: CHECKPOINT=models/zoo/mnist-mlp uvicorn benchmarks.textbook:app
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI, UploadFile
from PIL import Image

from benchmarks.bare import load_encoder

torch.set_num_threads(1)
encoder = load_encoder(Path(os.environ["CHECKPOINT"]))
app = FastAPI()


@app.post("/encode")
def encode(file: UploadFile) -> dict[str, Any]:
    image = Image.open(file.file).convert("L").resize((28, 28))
    x = torch.from_numpy(np.array(image, dtype=np.float32) / 255).reshape(1, -1)
    with torch.no_grad():
        mean, log_sigma = encoder(x).chunk(2, dim=1)
    return {"mean": mean.tolist(), "variance": (2 * log_sigma).exp().tolist()}
