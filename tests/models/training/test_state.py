import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models.checkpoint import read_config, update_checkpoint
from models.data import Digits
from models.errors import TrainingError
from models.kinds import build
from models.training import EpochReport, Reporter, train
from models.training.folder import locked
from models.training.reporting import METRICS_FILE
from models.training.state import STATE_FILE, load_state, read_run_state
from tests.models.training.recipes import first, make_recipe


@pytest.fixture
def interrupted(tmp_path: Path, digits: Digits) -> Path:
    """A run of three epochs that was interrupted after the first."""
    with pytest.raises(KeyboardInterrupt):
        train(make_recipe(), digits, tmp_path, threads=1, reporter=Interrupt())
    return tmp_path


class Interrupt:
    """Presses Ctrl-C at the end of the first epoch."""

    def start(self, *_: Any) -> None: ...
    def batch(self, *_: Any) -> None: ...
    def stop(self) -> None: ...
    def epoch(self, *_: Any) -> None:
        raise KeyboardInterrupt


class Threads(Reporter):
    """Notes how many threads torch uses in each epoch."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def epoch(self, report: EpochReport) -> None:  # noqa: ARG002
        self.threads.append(torch.get_num_threads())


def resume(folder: Path, digits: Digits, **changes: Any) -> None:
    train(make_recipe(**changes), digits, folder, threads=1, resume=True)


def message(folder: Path, digits: Digits, **changes: Any) -> str:
    with pytest.raises(TrainingError) as caught:
        resume(folder, digits, **changes)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_state_says_where_the_run_is(interrupted: Path) -> None:
    progress = read_run_state(interrupted)
    assert progress is not None
    assert (progress.epoch, progress.step, progress.threads) == (1, 6, 1)
    assert progress.recipe == make_recipe()
    assert read_run_state(interrupted / "tensorboard") is None


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(interrupted: Path, digits: Digits, tmp_path: Path) -> None:
    resume(interrupted, digits)
    train(make_recipe(), digits, tmp_path / "whole", threads=1)
    for name in ("model.safetensors", "config.json", "README.md"):
        path = Path("checkpoint", name)
        assert (interrupted / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    states = [load_file(folder / STATE_FILE) for folder in (interrupted, tmp_path / "whole")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


def test_a_run_keeps_its_thread_count_and_the_caller_hers(interrupted: Path, digits: Digits, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected the 1 threads that the run began with, found 2"):
        train(make_recipe(), digits, interrupted, threads=2, resume=True)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = Threads()
        end = train(make_recipe(), digits, interrupted, resume=True, reporter=seen)
        assert (end.threads, seen.threads) == (1, [1, 1])
        assert torch.get_num_threads() == 2  # the caller's again
        with pytest.raises(KeyboardInterrupt):
            train(make_recipe(), digits, tmp_path / "other", threads=1, reporter=Interrupt())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_another_recipe_is_an_error_that_names_the_difference(interrupted: Path, digits: Digits) -> None:
    changes = {"seed": 7, "training__learning_rate": 0.5, "model__architecture__encoder": [8]}
    said = message(interrupted, digits, **changes)
    assert "seed: began with 0, now 7" in said
    assert "training.learning_rate: began with 0.003, now 0.5" in said
    assert "model.architecture.encoder: began with [16], now [8]" in said
    assert "epochs" not in said


def test_a_recipe_of_tuples_is_that_of_the_lists_in_the_state(tmp_path: Path, digits: Digits) -> None:
    recipe = make_recipe(model__architecture={"encoder": (16,), "latents": 4, "decoder": (16,)})
    with pytest.raises(KeyboardInterrupt):
        train(recipe, digits, tmp_path, threads=1, reporter=Interrupt())
    assert train(recipe, digits, tmp_path, resume=True).finished


def test_other_digits_are_an_error_that_names_both(interrupted: Path, digits: Digits) -> None:
    images = digits.images.copy()
    images[0, 0, 0] ^= 1
    said = message(interrupted, Digits(images, digits.labels))
    progress = read_run_state(interrupted)
    assert progress is not None
    assert f"expected the images the run began with, sha256 {progress.data_sha256}, found " in said


def test_a_run_is_not_begun_over_another(interrupted: Path, digits: Digits) -> None:
    before = (interrupted / STATE_FILE).read_bytes()
    with pytest.raises(TrainingError, match="holds a run already, at epoch 1 of 3: go on with --resume, or name"):
        train(make_recipe(), digits, interrupted, threads=1)
    assert (interrupted / STATE_FILE).read_bytes() == before


def test_resuming_where_nothing_was_saved_begins(tmp_path: Path, digits: Digits) -> None:
    end = train(make_recipe(training__epochs=1), digits, tmp_path / "new", threads=1, resume=True)
    assert end.epoch == 1


@pytest.mark.parametrize("asked", [False, True])
def test_a_checkpoint_without_the_state_of_its_run_is_not_written_over(
    interrupted: Path, digits: Digits, asked: bool
) -> None:
    resume(interrupted, digits)
    (interrupted / STATE_FILE).unlink()
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=r"holds a checkpoint, and no state .*: name another"):
        train(make_recipe(), digits, interrupted, threads=1, resume=asked)
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before


def test_a_run_that_was_killed_before_its_first_state_begins_again(interrupted: Path, digits: Digits) -> None:
    (interrupted / STATE_FILE).unlink()
    assert "name another folder" in message(interrupted, digits, seed=5)
    assert "name another folder" in message(interrupted, first(digits, 300))
    resume(interrupted, digits)
    progress = read_run_state(interrupted)
    assert progress is not None and progress.finished


def test_what_was_measured_of_a_checkpoint_without_state_is_kept(interrupted: Path, digits: Digits) -> None:
    (interrupted / STATE_FILE).unlink()
    checkpoint = interrupted / "checkpoint"
    update_checkpoint(checkpoint, read_config(checkpoint).weights.sha256, metrics={"test_nll_nats": 99.25})
    assert "name another folder" in message(interrupted, digits)
    assert read_config(checkpoint).metrics["test_nll_nats"] == 99.25


def test_a_run_whose_log_is_gone_goes_on(interrupted: Path, digits: Digits) -> None:
    (interrupted / METRICS_FILE).unlink()
    resume(interrupted, digits)
    assert [orjson.loads(line)["epoch"] for line in (interrupted / METRICS_FILE).read_bytes().splitlines()] == [2, 3]


@pytest.mark.parametrize("log", [b"a note\n", b'{"epoch":1,"kl":2}\n{"epoch":2}\n', b'{"epoch":7}'])
def test_a_log_that_is_not_of_a_first_epoch_is_not_erased(tmp_path: Path, digits: Digits, log: bytes) -> None:
    (tmp_path / METRICS_FILE).write_bytes(log)
    with pytest.raises(TrainingError, match=r"holds metrics.jsonl, and no state of the run .*: name another folder"):
        train(make_recipe(), digits, tmp_path, threads=1)
    assert [path.name for path in tmp_path.iterdir()] == [METRICS_FILE]
    assert (tmp_path / METRICS_FILE).read_bytes() == log


@pytest.mark.parametrize("length", [0, 1, 5, 40, None])
def test_a_log_of_a_first_epoch_that_was_killed_begins_again(interrupted: Path, digits: Digits, length: int) -> None:
    (interrupted / STATE_FILE).unlink()
    log = interrupted / METRICS_FILE
    log.write_bytes(log.read_bytes()[:length])
    resume(interrupted, digits)
    assert [orjson.loads(line)["epoch"] for line in log.read_bytes().splitlines()] == [1, 2, 3]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # in the middle of a tensor, where no format would notice
    path.write_bytes(data)


def _without_tensors(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        save_file({}, path, file.metadata())


def _without_progress(path: Path) -> None:
    save_file(load_file(path), path)


@pytest.mark.parametrize(
    "damage", [_truncate, _flip, _without_tensors, _without_progress, lambda path: path.write_bytes(b"")]
)
def test_a_damaged_state_is_one_clear_line(interrupted: Path, digits: Digits, damage: Any) -> None:
    path = interrupted / STATE_FILE
    damage(path)
    assert message(interrupted, digits).startswith(f"{path}: expected ")


def test_a_state_that_is_a_folder_is_one_clear_line(interrupted: Path, digits: Digits) -> None:
    path = interrupted / STATE_FILE
    path.unlink()
    path.mkdir()
    assert str(path) in message(interrupted, digits)


def test_what_a_killed_run_was_writing_is_removed(interrupted: Path, digits: Digits) -> None:
    (interrupted / ".checkpoint.unfinished-abcdefgh").mkdir()
    (interrupted / ".checkpoint.unfinished-abcdefgh" / "config.json").write_bytes(b"{")
    (interrupted / f".{STATE_FILE}.unfinished-abcdefgh").write_bytes(b"half")
    resume(interrupted, digits)
    names = sorted(path.name for path in interrupted.iterdir())
    assert names == ["checkpoint", "metrics.jsonl", STATE_FILE, "tensorboard"]


def test_two_runs_do_not_share_a_folder(interrupted: Path, digits: Digits) -> None:
    with locked(interrupted), pytest.raises(TrainingError, match="another run is training in this folder"):
        resume(interrupted, digits)
    resume(interrupted, digits)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the file, in any instant
def test_an_interrupt_while_the_state_is_read_is_an_interrupt(interrupted: Path) -> None:
    model = build(make_recipe().model)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    interrupts = 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(400):
            try:
                with torch.enable_grad():  # which an interrupt within torch may leave switched off
                    signal.setitimer(signal.ITIMER_REAL, (1 + number % 40) * 5e-5)
                    load_state(interrupted, {"model": model}, optimizer)
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 40
