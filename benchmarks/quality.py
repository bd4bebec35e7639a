"""What the shipped model makes of real test digits: decoded back, and redrawn as photographs and scans."""

import asyncio
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from app.engine import Engine
from app.images import fit_image, read_image
from models.data import load_mnist
from tests.images.pages import CLOSE, EXACT

ROOT = Path(__file__).resolve().parent.parent
COUNT = 300  # digits of each kind of page


async def main() -> None:
    mnist = ROOT / "tests" / "data" / "mnist"
    digits = load_mnist(mnist, "test").images
    x = digits.astype(np.float32) / np.float32(255)
    model = Engine.load([ROOT / "models" / "zoo" / "mnist-mlp"]).model()
    means = (await model.encode(x)).mean

    error = np.square(await model.decode(means) - x).mean()
    pca = PCA(model.latents).fit(load_mnist(mnist, "train").images.reshape(-1, 784) / 255)
    flat = x.reshape(len(x), -1)
    linear = np.square(pca.inverse_transform(pca.transform(flat)) - flat).mean()
    print(
        f"decoded mean of {len(x)} test digits: squared error a pixel {error:.5f}; "
        f"PCA of {model.latents} components, fitted to the shipped training digits: {linear:.5f}"
    )

    unit = np.median(np.linalg.norm(means - np.roll(means, 1, axis=0), axis=1))
    print(
        f"distance of the mean latent from the original's, {COUNT} digits; two random digits are {unit:.2f} = 1 apart"
    )
    for page in (*EXACT, *CLOSE):
        files = (page(digit, np.random.default_rng(i)) for i, digit in enumerate(digits[:COUNT]))
        fitted = [fit_image(read_image(file)) for file in files]
        moved = np.linalg.norm((await model.encode(np.stack(fitted))).mean - means[:COUNT], axis=1) / unit
        print(f"  {page.__name__:24} median {np.median(moved):.4f}  95 % below {np.percentile(moved, 95):.4f}")


if __name__ == "__main__":
    asyncio.run(main())
