import errno
import json
import math
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.autoencoder import Terms
from models.checkpoint import load_checkpoint
from models.data import Digits
from models.device import NoMemoryError, enough_memory
from models.errors import InputError, RecipeError, TrainingError
from models.kinds import KINDS
from models.training import EpochReport, Reporter, train
from models.training import loop as loop_module
from models.training.validation import ADVICE
from models.vae import VAE
from tests.models.training.recipes import first, make_recipe


class Recorder(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[EpochReport] = []
        self.batches: list[tuple[int, float, float]] = []

    def batch(self, images: int, log_likelihood: float, kl: float) -> None:
        self.batches.append((images, log_likelihood, kl))

    def epoch(self, report: EpochReport) -> None:
        self.reports.append(report)


class Watched(VAE):
    """A VAE that remembers which images it was trained on."""

    seen: ClassVar[list[Tensor]] = []

    def elbo_terms(self, x: Tensor, epsilon: Tensor) -> Terms:
        if torch.is_grad_enabled():
            self.seen.append(x)
        return super().elbo_terms(x, epsilon)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The batches that a model of the kind `watched` is trained on."""
    monkeypatch.setitem(KINDS, "watched", Watched)
    monkeypatch.setattr(Watched, "seen", [])
    return Watched.seen


def run(folder: Path, digits: Digits, resume: bool = False, **changes: Any) -> Recorder:
    recorder = Recorder()
    train(make_recipe(**changes), digits, folder, threads=1, resume=resume, reporter=recorder)
    return recorder


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


def negative_elbo(model: VAE, digits: Digits, seed: int = 0) -> float:
    """An independent estimate, in nats an image."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.from_numpy(digits.images.reshape(-1, 784)) / 255
    terms = model.elbo_terms(torch.bernoulli(grey, generator=generator), torch.randn(20, len(grey), 4))
    return (terms.kl.sum(-1).mean() - terms.log_likelihood.mean()).item()


def test_a_run_learns(tmp_path: Path, many_digits: Digits) -> None:
    reports = run(tmp_path, many_digits, training__epochs=20, training__learning_rate=0.01).reports
    assert reports[0].negative_elbo > 280
    assert reports[-1].negative_elbo < 165
    assert reports[-1].validation_negative_elbo is not None
    assert reports[-1].validation_negative_elbo < 170
    model = load_checkpoint(tmp_path / "checkpoint").model
    assert isinstance(model, VAE)
    held_out = Digits(many_digits.images[-100:], many_digits.labels[-100:])
    assert negative_elbo(model, held_out) == pytest.approx(min(_validations(reports)), abs=2)
    # Samples are bright where digits are, and as bright.
    samples = model.decode(torch.randn(500, 4, generator=torch.Generator().manual_seed(0))).mean(0)
    mean_digit = torch.from_numpy(many_digits.images.reshape(-1, 784)).float().mean(0) / 255
    assert torch.corrcoef(torch.stack([samples, mean_digit]))[0, 1] > 0.95
    assert samples.mean().item() == pytest.approx(mean_digit.mean().item(), abs=0.03)


def _validations(reports: list[EpochReport]) -> list[float]:
    return [report.validation_negative_elbo or math.nan for report in reports]


# A network with too much freedom learns 100 digits by heart.
BY_HEART = {
    "model__architecture": {"encoder": [64], "latents": 20, "decoder": [64]},
    "data__validation": 300,
    "training__batch_size": 25,
    "training__learning_rate": 0.03,
}


def test_the_best_weights_are_kept_not_the_last(tmp_path: Path, digits: Digits) -> None:
    reports = run(tmp_path, digits, **BY_HEART, training__epochs=200, training__patience=2).reports
    held_out = _validations(reports)
    best, best_epoch = min(held_out), reports[-1].best_epoch
    assert held_out[best_epoch - 1] == best < held_out[-1]
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    assert checkpoint.config.metrics["validation_negative_elbo_nats"] == best
    assert checkpoint.config.training["epochs"] == best_epoch

    again = run(tmp_path / "again", digits, **BY_HEART, training__epochs=best_epoch).reports[-1]
    assert again.validation_negative_elbo == best
    assert weights(tmp_path) == weights(tmp_path / "again")
    last = load_file(tmp_path / "state.safetensors")
    kept = load_file(tmp_path / "checkpoint" / "model.safetensors")
    assert not any(torch.equal(last[f"average/module.{key}"], tensor) for key, tensor in kept.items())


@pytest.mark.parametrize("objective", [{"kind": "elbo", "beta": 0.0}, {"kind": "elbo", "free_nats": 50.0}])
def test_the_best_weights_are_those_of_the_objective(tmp_path: Path, digits: Digits, objective: dict[str, Any]) -> None:
    changes = {"objective": objective, "training__epochs": 30, "training__learning_rate": 0.01, "training__patience": 9}
    reports = run(tmp_path, digits, **changes).reports
    errors = [-(report.validation_log_likelihood or math.nan) for report in reports]  # the KL costs nothing here
    assert errors[reports[-1].best_epoch - 1] == min(errors)
    of_elbo = min(_validations(reports))
    assert _validations(reports)[reports[-1].best_epoch - 1] > of_elbo + 1  # by which earlier ones were better
    metrics = load_checkpoint(tmp_path / "checkpoint").config.metrics
    assert metrics["validation_negative_elbo_nats"] == _validations(reports)[reports[-1].best_epoch - 1]


def test_a_run_stops_when_it_has_not_improved_for_long(tmp_path: Path, digits: Digits) -> None:
    changes = BY_HEART | {"training__epochs": 200, "training__patience": 3}
    reports = run(tmp_path, digits, **changes).reports
    held_out = _validations(reports)
    assert len(reports) == reports[-1].best_epoch + 3 < 200
    assert min(held_out) == held_out[-4]
    assert run(tmp_path, digits, resume=True, **changes).reports == []  # it is finished


def test_patience_begins_with_the_objective_that_was_asked_for(tmp_path: Path, digits: Digits) -> None:
    late = {"kind": "iwae", "samples": 2, "from_epoch": 6}
    changes = {"training__epochs": 20, "training__patience": 1, "training__learning_rate": 1e-12}
    reports = run(tmp_path, digits, **changes, training__average_decay=0.0, objective=late).reports
    held_out = _validations(reports)
    assert len(reports) >= 6 and len(set(held_out)) > 1, held_out


def test_a_covariance_that_is_not_finite_where_the_epoch_ends_is_one_line(tmp_path: Path, digits: Digits) -> None:
    changes = {"training__batch_size": 300, "training__learning_rate": 1e10, "data__validation": 100}
    laplace = {"kind": "iwae", "samples": 2, "proposal": "laplace"}
    with pytest.raises(TrainingError, match=r"^a covariance is not finite at step 1 \(epoch 1\)"):
        run(tmp_path, digits, **changes, objective=laplace)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(tmp_path: Path, digits: Digits) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    run(tmp_path / "a", digits)
    assert torch.equal(before, torch.get_rng_state())  # torch's own generator is not changed
    torch.manual_seed(2)
    run(tmp_path / "b", digits)  # nor read
    run(tmp_path / "c", digits, seed=1)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    for key, tensor in load_file(tmp_path / "a" / "checkpoint" / "model.safetensors").items():
        other = load_file(tmp_path / "c" / "checkpoint" / "model.safetensors")[key]
        assert not torch.isclose(tensor, other).all()


def test_held_out_digits_are_never_trained_on(tmp_path: Path, digits: Digits) -> None:
    run(tmp_path / "a", digits, training__epochs=1)
    images = digits.images.copy()
    images[300:] = 255 - images[300:]
    other = run(tmp_path / "b", Digits(images, digits.labels), training__epochs=1).reports[0]
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert other.validation_negative_elbo is not None
    assert other.validation_negative_elbo > other.negative_elbo  # but they are measured


def test_an_epoch_shows_every_training_digit_at_most_once(tmp_path: Path, digits: Digits, seen: list[Tensor]) -> None:
    run(tmp_path, digits, model__kind="watched", data__binarize=False, training__batch_size=70, training__epochs=2)
    assert [len(batch) for batch in seen] == [70] * 8  # 300 digits make 4 whole batches an epoch
    grey = [image.tobytes() for image in digits.images[:300]]
    epochs = []
    for batches in (seen[:4], seen[4:]):
        shown = [image.tobytes() for image in (torch.cat(batches) * 255).round().to(torch.uint8).numpy()]
        assert len(set(shown)) == 280
        assert set(shown) <= set(grey)
        epochs.append(shown)
    assert epochs[0] != epochs[1]  # in another order, and other digits wait


def test_digits_are_binarized_anew_each_epoch_as_often_as_they_are_bright(
    tmp_path: Path, digits: Digits, seen: list[Tensor]
) -> None:
    image = digits.images[:1]
    copies = Digits(np.repeat(image, 100, axis=0), np.repeat(digits.labels[:1], 100))
    changes = {"model__kind": "watched", "data__validation": 0, "training__batch_size": 100, "training__epochs": 8}
    run(tmp_path, copies, **changes)
    drawn = torch.cat(seen)
    assert drawn.shape == (800, 784)
    assert ((drawn == 0) | (drawn == 1)).all()
    assert len({x.numpy().tobytes() for x in drawn}) == 800  # no two are alike, in an epoch or between epochs
    brightness = torch.from_numpy(image.reshape(784)) / 255
    standard_error = (brightness * (1 - brightness) / 800).sqrt()
    assert ((drawn.mean(0) - brightness).abs() <= 5 * standard_error).all()


def test_what_is_reported_is_what_the_batches_were(tmp_path: Path, digits: Digits) -> None:
    recorder = run(tmp_path, digits, training__schedule="cosine", training__kl_warmup_steps=8)
    assert [images for images, _, _ in recorder.batches] == [50] * 18
    for epoch, report in enumerate(recorder.reports, 1):
        batches = recorder.batches[6 * (epoch - 1) : 6 * epoch]
        assert report.log_likelihood == pytest.approx(sum(batch[1] for batch in batches) / 6)
        assert report.kl == pytest.approx(sum(batch[2] for batch in batches) / 6)
        assert (report.epoch, report.step) == (epoch, 6 * epoch)
        assert report.kl_weight == min(1, 6 * epoch / 8)
        assert report.learning_rate == pytest.approx(3e-3 * (1 + math.cos(math.pi * (6 * epoch - 1) / 18)) / 2)
        assert report.images_per_s > 0


def test_the_kl_weighs_little_during_its_warm_up(tmp_path: Path, digits: Digits) -> None:
    changes = {"training__epochs": 10, "training__learning_rate": 0.01}
    free = run(tmp_path / "free", digits, training__kl_warmup_steps=10_000, **changes).reports[-1]
    weighted_kl = run(tmp_path / "priced", digits, **changes).reports[-1]
    assert free.kl > 2 * weighted_kl.kl


def test_averaged_weights_are_kept_where_the_recipe_says_so(tmp_path: Path, digits: Digits) -> None:
    run(tmp_path / "last", digits, training__epochs=1)
    run(tmp_path / "mean", digits, training__epochs=1, training__average_decay=0.9)
    last, mean = (load_file(tmp_path / name / "checkpoint" / "model.safetensors") for name in ("last", "mean"))
    state = load_file(tmp_path / "mean" / "state.safetensors")
    assert all(torch.equal(state[f"model/{key}"], tensor) for key, tensor in last.items())
    assert all(torch.equal(state[f"average/module.{key}"], tensor) for key, tensor in mean.items())
    assert not torch.equal(last["encoder.layers.0.weight"], mean["encoder.layers.0.weight"])


def test_the_checkpoint_says_where_it_comes_from(tmp_path: Path, digits: Digits) -> None:
    recipe = make_recipe(training__epochs=1)
    train(recipe, digits, tmp_path, threads=1, provenance={"commit": "abc", "data": "some"})
    training = load_checkpoint(tmp_path / "checkpoint").config.training
    assert training["recipe"] == recipe.model_dump(mode="json", exclude_none=True)
    expected = {"commit": "abc", "data": "some", "images": 300, "validation_images": 100, "epochs": 1, "steps": 6}
    assert expected.items() <= training.items()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__batch_size": 301}, "training.batch_size: expected at most the 300 digits left for training .*301"),
        ({"data__validation": 400}, "data.validation: expected to leave at least 2 of the 400 digits .* found 400"),
        ({"data__validation": 9999}, "data.validation: expected to leave at least 2 of the 400 digits .* found 9999"),
        (
            {"model__input_shape": [1, 14, 56]},
            r"model.input_shape: expected the digits' \[1, 28, 28\], found \[1, 14, 56",
        ),
        ({"model__architecture__latent": 4}, "model: architecture of kind 'vae': "),
        ({"model__kind": "gan"}, "model: kind: expected one of "),
    ],
)
def test_a_recipe_that_does_not_fit_the_data(
    tmp_path: Path, digits: Digits, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(RecipeError, match=f"^{expected}"):
        run(tmp_path / "run", digits, **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("rows", "columns"), [(28, 14), (16, 16)])
def test_digits_that_could_not_be_served_are_told_before_training(tmp_path: Path, rows: int, columns: int) -> None:
    odd = Digits(np.zeros((400, rows, columns), np.uint8), np.zeros(400, np.uint8))
    with pytest.raises(RecipeError, match=rf"^expected digits in squares of at least 20 .*, found {rows}x{columns}$"):
        run(tmp_path / "run", odd, model__input_shape=[1, rows, columns])
    assert not (tmp_path / "run").exists()


def test_what_takes_more_memory_than_there_is_is_told() -> None:
    told = r"^no memory for the model, a batch .*: try narrower networks, a lower training\.batch_size or fewer"
    with pytest.raises(NoMemoryError, match=told), enough_memory(ADVICE):
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="shape"), enough_memory(ADVICE):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_model_without_room_beside_its_average_is_told(
    tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        torch.empty(2**50)

    monkeypatch.setattr(loop_module, "AveragedModel", fail)
    with pytest.raises(NoMemoryError, match=r"^no memory for the model"):
        run(tmp_path / "run", digits)


def test_images_that_are_not_bytes_are_told_before_training(tmp_path: Path, digits: Digits) -> None:
    grey = digits.images.astype(np.float32) / 255
    with pytest.raises(InputError, match=r"^expected one image or more, uint8 .* found float32 \(400, 28, 28\)$"):
        run(tmp_path / "run", Digits(grey, digits.labels))  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_images_in_another_order_in_memory_are_the_same_images(tmp_path: Path, digits: Digits) -> None:
    run(tmp_path / "a", digits, training__epochs=1)
    run(tmp_path / "b", Digits(digits.images[::-1].copy()[::-1], digits.labels), training__epochs=1)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


@pytest.mark.parametrize("name", ["save_state", "save_checkpoint"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, ", make room and start again with --resume"),
        (errno.EDQUOT, ", make room and start again with --resume"),
        (errno.EROFS, ""),
        (errno.EACCES, ""),
    ],
)
def test_room_is_asked_for_where_there_is_none(
    tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch, name: str, number: int, advice: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number), "there")

    monkeypatch.setattr(loop_module, name, fail)
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, digits)
    expected = f"cannot write there: {os.strerror(number)}; what was saved before is intact{advice}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("when", ["start", "batch", "epoch", "stop"])
def test_a_reporters_error_is_its_own(tmp_path: Path, digits: Digits, when: str) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no room on the reporter's disk")

    reporter = Reporter()
    setattr(reporter, when, fail)
    with pytest.raises(OSError, match="the reporter's disk"):
        train(make_recipe(), digits, tmp_path, threads=1, reporter=reporter)


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path, digits: Digits) -> None:
    # The loss of the only step is finite; the weights after it are not.
    with pytest.raises(TrainingError, match=r"not finite at step 1 \(epoch 1\)"):
        run(tmp_path, first(digits, 50), data__validation=0, training__epochs=1, training__learning_rate=1e300)
    assert not (tmp_path / "checkpoint").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path: Path, digits: Digits) -> None:
    recorder = Recorder()
    recipe = make_recipe(training__learning_rate=1e20, data__validation=0)
    with pytest.raises(TrainingError, match=r"^the loss is (nan|-?inf), not finite at step \d+ \(epoch \d+\)"):
        train(recipe, digits, tmp_path, threads=1, reporter=recorder)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(recorder.reports)
    assert all(math.isfinite(json.loads(line)["negative_elbo"]) for line in lines)


def test_a_covariance_that_is_not_finite_stops_the_run_too(tmp_path: Path, digits: Digits) -> None:
    objective = {"kind": "iwae", "samples": 2, "proposal": "laplace"}
    recipe = make_recipe(objective=objective, training__learning_rate=1e20, data__validation=0)
    with pytest.raises(TrainingError, match=r"^a covariance is not finite at step \d+ \(epoch \d+\): try a lower"):
        train(recipe, digits, tmp_path, threads=1)
