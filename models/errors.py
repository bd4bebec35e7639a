"""The errors that this package raises on purpose.

A message is one line for the person at the other end: it names the thing, what was expected and what was found.
"""


class ReparamError(Exception):
    """The base of the project's errors: expected, and explained in one line."""

    def __str__(self) -> str:
        # One line also where it quotes what was found: a key of a file may hold anything.
        return " ".join(super().__str__().splitlines())


class InputError(ReparamError, ValueError):
    """What was passed in does not have the shape, type or range that is taken."""


class ShapeError(InputError):
    """An array does not have the shape that is taken."""


class CheckpointError(ReparamError):
    """A checkpoint folder is missing, damaged, or of a version or kind this program does not know."""


class DataError(ReparamError):
    """A data set is missing, damaged or could not be fetched."""


class RecipeError(ReparamError):
    """A training recipe says something that cannot be done."""


class TrainingError(ReparamError):
    """Training had to stop: the loss is not finite, or a result could not be written."""


class NotGenerativeError(ReparamError):
    """A model without a distribution over its codes was asked to sample."""


class NotCapableError(ReparamError):
    """A model was asked for what it cannot do."""


class ModelNotFoundError(ReparamError):
    """A call names a model that is not served."""
