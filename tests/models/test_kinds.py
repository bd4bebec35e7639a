import pytest

from models.autoencoder import Autoencoder
from models.config import ModelConfig
from models.errors import CheckpointError
from models.kinds import KINDS, build
from models.vae import VAE
from tests.models.tiny import CONFIG


def config(kind: str, **architecture: object) -> ModelConfig:
    return ModelConfig.model_validate(
        {"kind": kind, "architecture": architecture, "likelihood": {"kind": "gaussian", "sigma": 0.5}}
    )


def test_the_kind_picks_the_class() -> None:
    assert type(build(CONFIG)) is VAE
    assert all(issubclass(kind, Autoencoder) for kind in KINDS.values())


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(CheckpointError, match=r"^kind: expected one of .*vae.*, found 'gan'$"):
        build(config("gan"))


def test_an_architecture_that_does_not_fit_names_the_key() -> None:
    with pytest.raises(CheckpointError, match=r"architecture of kind 'vae': .*decoder: field required; .*depth: extra"):
        build(config("vae", encoder=[3], latents=2, depth=4))
