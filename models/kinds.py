"""The kinds of autoencoder: a new one is one file and one line here."""

from pydantic import ValidationError

from models.autoencoder import Autoencoder
from models.config import ModelConfig
from models.deterministic import AE, DAE
from models.errors import CheckpointError
from models.linear import LinearVAE
from models.strict import explain
from models.vae import VAE

KINDS: dict[str, type[Autoencoder]] = {
    "linear": LinearVAE,
    "ae": AE,
    "dae": DAE,
    "vae": VAE,
}


def build(config: ModelConfig) -> Autoencoder:
    """The untrained model that a configuration describes.

    Raises: CheckpointError: if the kind is unknown, or its architecture does not fit the kind.
    """
    if config.kind not in KINDS:
        raise CheckpointError(f"kind: expected one of {', '.join(sorted(KINDS))}, found {config.kind!r}")
    try:
        return KINDS[config.kind].from_config(config)
    except ValidationError as error:
        raise CheckpointError(f"architecture of kind {config.kind!r}: {explain(error, config.architecture)}") from error
    except ValueError as error:
        raise CheckpointError(f"kind {config.kind!r}: {error}") from error
    except (RuntimeError, TypeError) as error:  # torch's, for sizes beyond its integers or beyond memory
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"architecture of kind {config.kind!r}: cannot be built: {reason}") from error
