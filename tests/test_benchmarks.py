"""What `make bench` needs, which is too slow to be run here."""

from benchmarks.training import COUNTS, few_epochs
from models.recipe import Recipe


def test_the_training_that_is_timed_is_a_valid_recipe_and_needs_no_other_runs_checkpoint() -> None:
    for name in COUNTS:
        recipe = few_epochs(name)
        assert recipe.start is None
        assert Recipe.model_validate(recipe.model_dump()) == recipe
