import json
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.data import Digits
from models.training import EpochReport, train
from models.training.reporting import METRICS_FILE, MetricsFiles
from tests.models.training.recipes import make_recipe


def report(epoch: int, **changes: Any) -> EpochReport:
    figures = {
        "epoch": epoch,
        "step": 10 * epoch,
        "learning_rate": 0.1 / epoch,
        "kl_weight": 1.0,
        "log_likelihood": -100.0 + epoch,
        "kl": 20.0,
        "validation_log_likelihood": -110.0 + epoch,
        "validation_kl": 21.0,
        "images_per_s": 1000.0,
        "best_epoch": epoch,
    }
    return EpochReport(**(figures | changes))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads: tag -> (epoch, value)s."""
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def assert_they_agree(folder: Path) -> None:
    board = scalars(folder)
    assert board.keys() == lines(folder)[0].keys() - {"epoch"}
    for tag, values in board.items():
        assert [epoch for epoch, _ in values] == [line["epoch"] for line in lines(folder)]
        assert [value for _, value in values] == pytest.approx([line[tag] for line in lines(folder)], rel=1e-6)


def test_minus_elbo_is_the_kl_less_the_log_likelihood() -> None:
    assert report(1).negative_elbo == 20 + 99
    assert report(1).validation_negative_elbo == 21 + 109
    assert report(1, validation_kl=None, validation_log_likelihood=None).validation_negative_elbo is None


def test_a_run_leaves_a_line_an_epoch_which_tensorboard_agrees_with(tmp_path: Path, digits: Digits) -> None:
    train(make_recipe(), digits, tmp_path, threads=1)
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 2, 3]
    for line in lines(tmp_path):
        assert line["negative_elbo"] == pytest.approx(line["kl"] - line["log_likelihood"])
        assert line["kl"] > 0 > line["log_likelihood"]
        held_out = line["validation_kl"] - line["validation_log_likelihood"]
        assert line["validation_negative_elbo"] == pytest.approx(held_out)
    assert_they_agree(tmp_path)


def test_without_held_out_digits_there_are_no_such_figures(tmp_path: Path, digits: Digits) -> None:
    train(make_recipe(data__validation=0, training__epochs=1), digits, tmp_path, threads=1)
    assert lines(tmp_path)[0]["validation_negative_elbo"] is None
    assert not any("validation" in tag for tag in scalars(tmp_path))


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_run_that_goes_on_takes_back_what_it_had_not_saved(tmp_path: Path, done: int) -> None:
    with MetricsFiles(tmp_path, 0) as files:
        for epoch in (1, 2, 3):
            files.write(report(epoch, kl=77.0))
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"epoch": 4, "half')
    time.sleep(0.001)  # event files are ordered by when they began
    with MetricsFiles(tmp_path, done) as files:
        for epoch in range(done + 1, 5):
            files.write(report(epoch))
    assert [line["kl"] for line in lines(tmp_path)] == [77.0] * done + [20.0] * (4 - done)
    assert_they_agree(tmp_path)


def test_a_half_written_event_does_not_hide_the_next_file(tmp_path: Path) -> None:
    with MetricsFiles(tmp_path, 0) as files:
        files.write(report(1))
    (events,) = (tmp_path / "tensorboard").iterdir()
    with events.open("ab") as file:
        file.write(events.read_bytes()[:30])
    time.sleep(0.001)
    with MetricsFiles(tmp_path, 1) as files:
        files.write(report(2))
    assert_they_agree(tmp_path)
