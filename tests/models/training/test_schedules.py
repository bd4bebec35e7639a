import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.recipe import OptimizationRecipe
from models.training.schedules import kl_weight, learning_rate


def recipe(**changes: object) -> OptimizationRecipe:
    return OptimizationRecipe.model_validate({"epochs": 1, "batch_size": 1, "learning_rate": 0.01} | changes)


def test_cosine_is_that_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.01)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    for step in range(100):
        assert learning_rate(step, 100, recipe()) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_the_warm_up_is_linear_and_the_cosine_begins_where_it_ends() -> None:
    rates = [learning_rate(step, 110, recipe(warmup_steps=10)) for step in range(111)]
    assert rates[:10] == pytest.approx([0.001 * (step + 1) for step in range(10)])
    assert rates[10:] == pytest.approx([0.005 * (1 + math.cos(math.pi * i / 100)) for i in range(101)])
    assert rates[60] == pytest.approx(0.005)
    assert rates[110] == pytest.approx(0)


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    rates = [learning_rate(step, 50, recipe(schedule="constant", warmup_steps=4)) for step in range(50)]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert set(rates[4:]) == {0.01}


@given(st.integers(1, 1000), st.integers(0, 1200), st.sampled_from(["cosine", "constant"]), st.data())
def test_the_rate_stays_within_what_the_recipe_says(
    steps: int, warmup: int, schedule: str, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, steps - 1))
    rate = learning_rate(step, steps, recipe(warmup_steps=warmup, schedule=schedule))
    assert 0 < rate <= 0.01
    if step >= warmup and step + 1 < steps:
        assert learning_rate(step + 1, steps, recipe(warmup_steps=warmup, schedule=schedule)) <= rate


def test_the_weight_of_the_kl_rises_to_1() -> None:
    weights = [kl_weight(step, recipe(kl_warmup_steps=8)) for step in range(12)]
    assert weights == pytest.approx([i / 8 for i in range(1, 9)] + [1.0] * 4)
    assert {kl_weight(step, recipe()) for step in range(5)} == {1.0}
