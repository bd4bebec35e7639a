import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.training_bar import TrainingBar
from models.training import EpochReport
from tests.models.training.recipes import make_recipe, write_recipe
from tests.processes import start_reparam

CONTROL = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")  # colours, the cursor
BAR = re.compile(r"epoch (\d)/3 [━╸╺]+ log p\(x\|z\) (-?[\d.]+)  KL ([\d.]+) nats ([\d,]+) images/s [\d:-]+")
EPOCH = re.compile(r"epoch (\d)/3  -ELBO [\d.]+ nats \(log p\(x\|z\) -[\d.]+, KL [\d.]+\).*  [\d,]+ images/s")


def read_terminal(descriptor: int, said: list[bytes]) -> None:
    try:
        while data := os.read(descriptor, 65536):
            said.append(data)
    except OSError:  # on Linux a terminal that nobody writes to any more is an error
        pass


def test_on_a_terminal_there_is_a_bar_and_a_line_an_epoch(tmp_path: Path, mnist: Path) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml", training__epochs=3, training__batch_size=2)
    ours, theirs = os.openpty()
    said: list[bytes] = []
    reader = threading.Thread(target=read_terminal, args=(ours, said))
    reader.start()
    arguments = ["train", str(recipe), "--data", str(mnist), "--out", str(tmp_path / "run"), "--threads", "1"]
    process = start_reparam(arguments, Path(os.ttyname(theirs)))
    process.join()
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert process.exitcode == 0
    text = CONTROL.sub("", b"".join(said).decode())
    measured = [match.groups() for match in BAR.finditer(text) if match[2] != "0.00"]  # the first frame knows nothing
    assert measured
    for _, log_likelihood, kl, rate in measured:
        assert float(log_likelihood) < -50
        assert float(kl) > 0
        assert int(rate.replace(",", "")) > 0
    assert [match[1] for match in EPOCH.finditer(text)] == ["1", "2", "3"]
    assert text.rstrip().endswith(" nats")  # the result, on a line of its own


def test_the_bar_shows_a_mean_over_the_last_batches(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingBar(make_recipe())
    bar.start(epochs=2, done=1, images=100)
    bar.batch(50, -300.0, 10.0)
    assert bar._fields()["bound"] == "log p(x|z) -300.00  KL 10.00"  # the first is no mean with the nothing before it
    for _ in range(500):
        bar.batch(0, -100.0, 20.0)
    fields = bar._fields()
    _, log_likelihood, _, kl = fields["bound"].rsplit(maxsplit=3)
    assert float(log_likelihood) == pytest.approx(-100, abs=0.1)
    assert float(kl) == pytest.approx(20, abs=0.1)
    assert fields["epoch"] == "2/2"
    bar.stop()
    assert capsys.readouterr().err == ""  # there is no terminal here


REPORT = EpochReport(
    epoch=1,
    step=10,
    learning_rate=0.1,
    kl_weight=1.0,
    log_likelihood=-100.5,
    kl=20.25,
    validation_log_likelihood=-90.0,
    validation_kl=20.0,
    images_per_s=12345.0,
    best_epoch=1,
)


def test_an_epoch_is_one_line_however_narrow_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    bar = TrainingBar(make_recipe())
    bar.start(epochs=9, done=0, images=100)
    bar.epoch(REPORT)
    bar.stop()
    assert capsys.readouterr().err == (
        "epoch 1/9  -ELBO 120.75 nats (log p(x|z) -100.50, KL 20.25)"
        "  validation -ELBO 110.00, best in epoch 1  12,345 images/s\n"
    )


def test_an_epoch_is_told_by_the_bound_that_it_raised(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingBar(make_recipe(objective={"kind": "iwae", "samples": 5, "from_epoch": 2}))
    bar.start(epochs=2, done=0, images=100)
    bar.batch(100, -100.5, 20.25)
    assert bar._fields()["bound"] == "-IWAE bound 120.75"  # whose other term is no KL
    for epoch in (1, 2):
        bar.epoch(replace(REPORT, epoch=epoch))
    bar.stop()
    first, second = capsys.readouterr().err.splitlines()
    assert "1/2  -ELBO 120.75 nats" in first and "  validation -ELBO 110.00," in first
    assert "2/2  -IWAE bound 120.75 nats  validation" in second and "  validation -IWAE bound 110.00," in second


def test_a_deterministic_autoencoder_has_no_elbo(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingBar(make_recipe(model__kind="ae"))
    bar.start(epochs=2, done=0, images=100)
    bar.batch(50, -100.5, 0.0)
    assert bar._fields()["bound"] == "-log p(x|z) 100.50"
    bar.epoch(replace(REPORT, kl=0.0, validation_kl=0.0))
    bar.stop()
    assert "1/2  -log p(x|z) 100.50 nats  validation -log p(x|z) 90.00," in capsys.readouterr().err
