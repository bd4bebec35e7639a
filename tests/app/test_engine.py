"""The models that are served: loaded early or late, exchanged while they run, alike alone and in company."""

import asyncio
import gc
import json
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from app import engine as engine_module
from app.engine import Engine, Model
from app.network import Runtime
from models.errors import CheckpointError, InputError


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("name", ["tiny-linear", "tiny-ae", "tiny-conv", "tiny-flow", "mnist-mlp"])
def test_a_result_does_not_depend_on_the_neighbours(
    checkpoints, zoo: Path, digits, name: str, runtime: Runtime
) -> None:
    """Beyond 1e-5, whatever shares the pass, also where it runs in a thread."""
    model = Engine.load([checkpoints.get(name, zoo / name)], runtime=runtime).model()
    images = digits[:70].astype(np.float32) / 255

    async def main() -> None:
        together, *alone = await asyncio.gather(model.encode(images), *(model.encode(x[None]) for x in images[:9]))
        for i, one in enumerate(alone):
            np.testing.assert_allclose(one.mean[0], together.mean[i], rtol=1e-5, atol=1e-5)
            if one.variance is not None:
                np.testing.assert_allclose(one.variance[0], together.variance[i], rtol=1e-5, atol=1e-5)
        decoded, *each = await asyncio.gather(
            model.decode(together.mean), *(model.decode(z[None]) for z in together.mean[:9])
        )
        np.testing.assert_allclose(np.concatenate(each), decoded[:9], atol=1e-5)

    asyncio.run(main())


def test_a_default_that_is_not_served_is_told_by_its_setting(zoo: Path) -> None:
    said = r"default_model \(set by REPARAM_DEFAULT_MODEL\): expected one of mnist-mlp, found 'mine'"
    with pytest.raises(CheckpointError, match=said):
        Engine.load([zoo / "mnist-mlp"], "mine")


def test_one_input_out_of_range_does_not_fail_its_neighbours(zoo: Path) -> None:
    model = Engine.load([zoo / "mnist-mlp"]).model()
    good, bad = np.zeros((1, 50), np.float32), np.full((1, 50), 3e38, np.float32)

    async def main() -> list[object]:
        return await asyncio.gather(model.decode(good), model.decode(bad), model.decode(good), return_exceptions=True)

    first, error, last = asyncio.run(main())
    assert isinstance(error, InputError)
    np.testing.assert_allclose(first, last, rtol=1e-6)  # what is at the end of a pass may round otherwise


def test_a_lazy_model_is_loaded_by_its_first_call_once(checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load([checkpoints["tiny-ae"], checkpoints["tiny-conv"]], lazy=True)
    model = engine.model("tiny-conv")
    assert engine.model().loaded and not model.loaded
    eager = Engine.load([checkpoints["tiny-conv"]]).model()
    assert model.card() == eager.card()
    loads = []
    load = Model.load
    monkeypatch.setattr(Model, "load", lambda self: (loads.append(self.name), load(self)))

    async def main() -> None:
        images = np.zeros((1, 28, 28), np.float32)
        answers = await asyncio.gather(*(model.encode(images) for _ in range(5)))
        np.testing.assert_allclose(answers[0].mean, (await eager.encode(images)).mean, atol=1e-6)

    asyncio.run(main())
    assert loads == ["tiny-conv"] and model.loaded


def test_whoever_leaves_while_a_lazy_model_is_loaded_leaves_it_to_the_next(
    checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Engine.load([checkpoints["tiny-ae"], checkpoints["tiny-conv"]], lazy=True).model("tiny-conv")
    loads = []
    going = threading.Event()
    load = Model.load
    monkeypatch.setattr(Model, "load", lambda self: (loads.append(self.name), going.wait(60), load(self)))

    async def main() -> None:
        images = np.zeros((1, 28, 28), np.float32)
        for _ in range(3):
            leaving = asyncio.create_task(model.encode(images))
            while not loads:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait([leaving])
        going.set()
        assert (await model.encode(images)).mean.shape == (1, model.latents)

    asyncio.run(main())
    assert loads == ["tiny-conv"]


@pytest.fixture
def folder(checkpoints, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoints["tiny-2d"], tmp_path / "served"))


def _become(folder: Path, other: Path, name: str = "tiny-2d") -> None:
    """What lies in the folder is another checkpoint now."""
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name": name}))


def test_a_changed_checkpoint_is_taken_up_and_calls_in_flight_end_on_the_old_one(checkpoints, folder: Path) -> None:
    async def main() -> None:
        engine = Engine.load([folder, checkpoints["tiny-ae"]])
        old, other = engine.model(), engine.model("tiny-ae")
        assert not await engine.reload()
        assert engine.model() is old  # nothing has changed
        _become(folder, checkpoints["tiny-flow"])
        calls = [asyncio.create_task(old.sample(300, seed=1)) for _ in range(4)]
        assert await engine.reload()
        assert engine.model() is not old and engine.model("tiny-ae") is other
        assert engine.model().latents == 5 and engine.model().loaded
        assert {(await call).latents.shape for call in calls} == {(300, 2)}
        assert (await engine.model().sample(3, seed=1)).latents.shape == (3, 5)

    asyncio.run(main())


def test_an_exchanged_network_leaves_the_memory_at_once(checkpoints, folder: Path) -> None:
    """The collector of garbage does not look for what was there at the start."""

    async def main() -> None:
        engine = Engine.load([folder])
        queue = engine.model()._queue
        assert queue is not None
        network = weakref.ref(queue._passes["encode"].__self__)  # type: ignore[attr-defined]
        del queue
        await engine.model().sample(1)
        _become(folder, checkpoints["tiny-flow"])
        gc.collect()
        gc.disable()
        try:
            assert network() is not None and await engine.reload()
            await engine.model().sample(1)
            async with asyncio.timeout(10):
                while network() is not None:  # the thread that ran its last pass may have yet to let go of it
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()

    asyncio.run(main())


@pytest.mark.parametrize("bad", ["weights", "same weights", "config", "gone", "name"])
def test_a_bad_checkpoint_leaves_the_old_one_and_the_log_says_why(
    checkpoints, folder: Path, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    async def main() -> None:
        engine = Engine.load([folder])
        old = engine.model()
        before = await old.sample(2, seed=1)
        if bad == "gone":
            shutil.rmtree(folder)
        elif bad != "same weights":
            _become(folder, checkpoints["tiny-flow"], "another" if bad == "name" else "tiny-2d")
        if bad.endswith("weights"):
            weights = bytearray((folder / "model.safetensors").read_bytes())
            weights[-1] ^= 1
            (folder / "model.safetensors").write_bytes(weights)
        if bad == "config":
            (folder / "config.json").write_text("{")
        await engine.reload()
        assert engine.model() is old
        np.testing.assert_array_equal((await engine.model().sample(2, seed=1)).images, before.images)

    asyncio.run(main())
    (record,) = [record for record in caplog.records if record.name == "app.engine"]
    assert record.levelname == "ERROR" and "tiny-2d: not reloaded, the old one stays" in record.message


def test_a_lazy_model_that_could_not_be_loaded_may_be_tried_once_a_reload_finds_it_sound(checkpoints, folder) -> None:
    engine = Engine.load([checkpoints["tiny-ae"], folder], lazy=True)
    weights = folder / "model.safetensors"
    sound = weights.read_bytes()

    async def main() -> None:
        assert not engine.model("tiny-2d").failed
        weights.write_bytes(sound[:-1])
        with pytest.raises(CheckpointError):
            await engine.model("tiny-2d").sample(1)
        assert not await engine.reload() and engine.model("tiny-2d").failed
        weights.write_bytes(sound)
        assert await engine.reload() and not engine.model("tiny-2d").failed
        await engine.model("tiny-2d").sample(1)
        assert not await engine.reload()

    asyncio.run(main())


def test_a_lazy_model_whose_checkpoint_has_changed_says_so(checkpoints, folder: Path) -> None:
    engine = Engine.load([checkpoints["tiny-ae"], folder], lazy=True)
    _become(folder, checkpoints["tiny-flow"])

    async def main() -> None:
        with pytest.raises(CheckpointError, match="SIGHUP"):
            await engine.model("tiny-2d").sample(1)
        await engine.reload()
        assert (await engine.model("tiny-2d").sample(1)).latents.shape == (1, 5)

    asyncio.run(main())


def test_a_lazy_model_has_no_old_one_that_could_stay(checkpoints, folder: Path, caplog) -> None:
    engine = Engine.load([checkpoints["tiny-ae"], folder], lazy=True)
    (folder / "config.json").write_text("{")
    asyncio.run(engine.reload())
    (record,) = [record for record in caplog.records if record.name == "app.engine" and record.levelname == "ERROR"]
    assert "tiny-2d: not reloaded, nor loaded before; its next call tries again: " in record.message


def test_a_checkpoint_that_is_exchanged_while_others_are_loaded_is_taken_as_it_is_then(
    checkpoints, folder: Path
) -> None:
    def exchange(done: int, _: int) -> None:
        if done == 1:
            _become(folder, checkpoints["tiny-flow"])

    engine = Engine.load([checkpoints["tiny-ae"], folder], progress=exchange)
    assert engine.model("tiny-2d").loaded and engine.model("tiny-2d").latents == 5

    def damage(done: int, _: int) -> None:
        if done == 1:
            _become(folder, checkpoints["tiny-conv"], "another")

    with pytest.raises(CheckpointError, match="expected the checkpoint that was there when the service looked last"):
        Engine.load([checkpoints["tiny-ae"], folder], progress=damage)


def test_what_nobody_expected_of_one_model_keeps_no_other_from_its_reload(
    checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load = engine_module._load_changed

    def fail(model: Model) -> Model | None:
        if model.name == "tiny-ae":
            raise RuntimeError("out of memory")
        return load(model)

    async def main() -> None:
        engine = Engine.load([checkpoints["tiny-ae"], folder])
        _become(folder, checkpoints["tiny-flow"])
        monkeypatch.setattr(engine_module, "_load_changed", fail)
        assert await engine.reload()
        assert engine.model("tiny-2d").latents == 5

    asyncio.run(main())
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "tiny-ae: not reloaded, the old one stays: out of memory" in record.message
    assert record.exc_info and record.exc_info[0] is RuntimeError
