import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models.data import load_mnist
from models.evaluation import evaluate
from models.evaluation.pictures import draw_pictures
from models.evaluation.report import write_report
from tests.models.evaluation.test_evaluate import build_kind
from tests.models.training.recipes import first

OF_ALL = {"reconstructions.png", "interpolations.png", "latents.png"}
EPOCHS = [{"epoch": n, "negative_elbo": 200.0 - n, "validation_negative_elbo": None} for n in (1, 2)]


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("ae", {}, OF_ALL),
        ("linear", {}, OF_ALL | {"samples.png", "kl.png"}),
        ("vae", {"prior": {"kind": "flow", "couplings": 2, "hidden": [8]}}, OF_ALL | {"samples.png"}),
        ("vae", {"architecture": {"encoder": [], "latents": 2, "decoder": []}}, OF_ALL | {"samples.png", "kl.png"}),
        ("ae", {"architecture": {"encoder": [], "latents": 1, "decoder": []}}, OF_ALL),
    ],
)
def test_the_report_has_every_figure_and_picture(
    kind: str, changes: dict[str, Any], expected: set[str], mnist: Path, tmp_path: Path
) -> None:
    model, digits = build_kind(kind, **changes), first(load_mnist(mnist, "test"), 60)
    figures = evaluate(model, digits, samples=1)
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, EPOCHS)))
    out = tmp_path / "report" / "deep"
    write_report(out, "tiny", figures, draw_pictures(model, digits, figures, tmp_path, 0))
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == expected | {"training.png"}
    assert json.loads((out / "figures.json").read_text()) == figures
    report = (out / "report.md").read_text()
    assert report.startswith("# tiny\n") and f"{figures['denoised_mse']:.5g} |" in report
    for name in pictures:
        assert f"({name})" in report
        width, height = struct.unpack(">II", (out / name).read_bytes()[16:24])
        assert width > 200 and height > 100
    assert draw_pictures(model, digits, figures, tmp_path / "none", 0).keys() == expected


def test_lines_that_are_no_reports_of_epochs_are_left_out_of_the_curves(mnist: Path, tmp_path: Path) -> None:
    model, digits = build_kind("ae"), first(load_mnist(mnist, "test"), 20)
    lines = [json.dumps(EPOCHS[0]), '{"epoch": 99, "st', '{"loss": 1}', "[]", ""]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    pictures = draw_pictures(model, digits, evaluate(model, digits, samples=1), tmp_path, 0)
    (point,) = pictures["training.png"].axes[0].lines
    assert len(point.get_xdata()) == 1 and point.get_marker() == "."  # without which it would not be seen
