"""What training maximises: a lower bound on log p(x), or a variation on it."""

import math
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, PositiveInt
from torch import Generator, Tensor

from models.autoencoder import Autoencoder
from models.strict import Strict
from models.vae import VAE

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Elbo(Strict):
    """The evidence lower bound; for a deterministic autoencoder its one term, log p(x|z).

    Source: Higgins et al. 2017, equation 4, for beta; Kingma et al. 2016, equation 15, for free bits.
    """

    name: ClassVar[str] = "ELBO"  # the bound's
    kind: Literal["elbo"] = "elbo"
    beta: NonNegative = 1.0  # the weight of the KL: 1 is the bound itself
    free_nats: NonNegative = 0.0  # of KL left unpriced: of each latent, or under a flow of all together

    def at(self, epoch: int) -> "Elbo | Iwae":  # noqa: ARG002  the same in every one
        """The objective of epoch 1, 2, ..."""
        return self


class Iwae(Strict):
    """The importance-weighted bound, which K samples tighten (Burda, Grosse & Salakhutdinov 2016, equation 8)."""

    name: ClassVar[str] = "IWAE bound"
    kind: Literal["iwae"] = "iwae"
    samples: Annotated[int, Field(ge=2, le=1000)]
    from_epoch: PositiveInt = 1  # before it the ELBO, of which a step costs one sample

    def at(self, epoch: int) -> "Elbo | Iwae":
        """The objective of epoch 1, 2, ..."""
        return self if epoch >= self.from_epoch else Elbo()


Objective = Annotated[Elbo | Iwae, Field(discriminator="kind")]


class Bound(NamedTuple):
    """An objective on a batch, in nats an image."""

    loss: Tensor  # (), to be minimised
    log_likelihood: Tensor  # (), the mean of log p(x|z)
    kl: Tensor  # (), what the bound takes off it: log_likelihood - kl is the bound


def bound(model: Autoencoder, x: Tensor, objective: Elbo | Iwae, kl_weight: float, generator: Generator) -> Bound:
    """The objective for x (N, D), with the KL weighted by `kl_weight` besides, and noise from the generator.

    Raises: TypeError: if the importance-weighted bound is asked of a model without a posterior to weight by.
    """
    if isinstance(objective, Iwae):
        return _importance_weighted(model, x, objective.samples, kl_weight, generator)
    terms = model.terms(x, generator)
    log_likelihood = terms.log_likelihood.mean()
    kl = terms.kl.mean(0)  # (G,), the mean over the batch
    priced = kl.clamp_min(objective.free_nats) if objective.free_nats else kl
    return Bound(kl_weight * objective.beta * priced.sum() - log_likelihood, log_likelihood, kl.sum())


def _importance_weighted(model: Autoencoder, x: Tensor, samples: int, kl_weight: float, generator: Generator) -> Bound:
    if not isinstance(model, VAE):
        raise TypeError(f"expected a variational autoencoder, found {type(model).__name__}")
    epsilon = model.draw_epsilon(x, generator, samples)
    log_likelihood, log_ratio = model.log_weight_terms(x, epsilon)  # (K, N) each
    weighted = (log_likelihood + kl_weight * log_ratio).logsumexp(0)  # (N,)
    unweighted = weighted if kl_weight == 1 else (log_likelihood + log_ratio).logsumexp(0)
    evidence = (unweighted - math.log(samples)).mean()
    return Bound(math.log(samples) - weighted.mean(), log_likelihood.mean(), log_likelihood.mean() - evidence)
