"""p(z): how codes are distributed, and how standard normal noise becomes codes."""

from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field, Tag
from torch import Tensor, nn

from models.distributions import gaussian_log_density
from models.networks import MLP
from models.strict import Depth, Strict, Widths, by_kind


class StandardNormalSpec(Strict):
    """N(0, I)."""

    kind: Literal["standard-normal"] = "standard-normal"


class FlowSpec(Strict):
    """A normalizing flow: N(0, I) noise through so many affine couplings, each with an MLP of these hidden widths."""

    kind: Literal["flow"] = "flow"
    couplings: Annotated[Depth, Field(gt=0)]
    hidden: Widths


PriorSpec = Annotated[
    Annotated[StandardNormalSpec, Tag("standard-normal")] | Annotated[FlowSpec, Tag("flow")],
    by_kind("standard-normal", "flow"),
]


class Prior(Protocol):
    """What a variational autoencoder needs of p(z), the distribution of z = from_noise(u), u ~ N(0, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of z (..., Z): (...) in nats."""

    def from_noise(self, u: Tensor) -> Tensor:
        """u (..., Z) -> z (..., Z)."""

    def to_noise(self, z: Tensor) -> Tensor:
        """z (..., Z) -> u (..., Z), the inverse."""


class StandardNormal:
    """p(z) = N(0, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_density(z)

    def from_noise(self, u: Tensor) -> Tensor:
        return u

    def to_noise(self, z: Tensor) -> Tensor:
        return z


class Flow(nn.Module):
    """A normalizing flow of affine couplings (RealNVP); before training it does no more than reorder the numbers.

    Source: Dinh, Sohl-Dickstein & Bengio 2017, "Density estimation using Real NVP", sections 3.2 to 3.4.

    Args:
        latents: Z, at least 2.
        couplings: how many; each changes half of the numbers, given the other half.
        hidden: the widths of the hidden layers of each coupling's network.
    """

    def __init__(self, latents: int, couplings: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        if latents < 2:
            raise ValueError(f"a flow expects at least 2 latents, found {latents}")
        # Of an odd number of latents every other coupling keeps the larger part, so that each pair changes all of them.
        kept = [(latents + i % 2) // 2 for i in range(couplings)]
        self.couplings = nn.ModuleList(_Coupling(k, latents - k, hidden) for k in kept)

    def log_prob(self, z: Tensor) -> Tensor:
        u, log_determinant = self._invert(z)
        return gaussian_log_density(u) + log_determinant

    def from_noise(self, u: Tensor) -> Tensor:
        z = u
        for number in reversed(range(len(self.couplings))):
            z = self.couplings[number](_unmix(z, number))
        return z

    def to_noise(self, z: Tensor) -> Tensor:
        return self._invert(z)[0]

    def _invert(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z -> the noise u, and log |det du/dz|.

        In full precision also where the networks run in half of it: a density is the sum of many small terms.
        """
        with torch.autocast(z.device.type, enabled=False):
            total = torch.zeros_like(z[..., 0])
            for number, coupling in enumerate(self.couplings):
                z, log_determinant = coupling.invert(z)  # type: ignore[operator]
                z, total = _mix(z, number), total + log_determinant
            return z, total


class _Coupling(nn.Module):
    """z = (a, b) <-> (a, (b - shift(a)) / scale(a))."""

    def __init__(self, kept: int, changed: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.kept = kept
        self.network = MLP((kept, *hidden, 2 * changed))
        for parameter in self.network.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, u: Tensor) -> Tensor:
        a, b = u.tensor_split((self.kept,), -1)
        shift, log_scale = self._shift_and_scale(a)
        return torch.cat((a, b * log_scale.exp() + shift), -1)

    def invert(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = z.tensor_split((self.kept,), -1)
        shift, log_scale = self._shift_and_scale(a)
        return torch.cat((a, (b - shift) * (-log_scale).exp()), -1), -log_scale.sum(-1)

    def _shift_and_scale(self, a: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.network(a).chunk(2, -1)
        return shift, 2 * torch.tanh(log_scale / 2)  # bounded: one coupling cannot run away


def _mix(z: Tensor, number: int) -> Tensor:
    """What follows coupling 0, 1, ...: the halves change places, and after each pair all are dealt out anew."""
    z = z.flip(-1)
    return torch.cat((z[..., ::2], z[..., 1::2]), -1) if number % 2 else z


def _unmix(z: Tensor, number: int) -> Tensor:
    """The inverse of `_mix`."""
    if number % 2:
        evens, dealt = (z.shape[-1] + 1) // 2, z
        z = torch.empty_like(dealt)
        z[..., ::2], z[..., 1::2] = dealt[..., :evens], dealt[..., evens:]
    return z.flip(-1)


def make_prior(spec: StandardNormalSpec | FlowSpec, latents: int) -> Prior:
    """The prior that a configuration names. Raises: ValueError: if it does not fit so many latents."""
    return Flow(latents, spec.couplings, spec.hidden) if isinstance(spec, FlowSpec) else StandardNormal()
