"""Everything an operator can set, each by an environment variable REPARAM_NAME."""

import logging
import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.cores import available_cores
from app.logs import LogFormat, LogLevel
from models.files import checkpoint_folder, shipped_names

# What Kubernetes and Docker set REPARAM_PORT to beside a service that is called reparam, over what the image says.
SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
# And what else they set beside one that is called so, or reparam-something.
SERVICE_LINK_NAME = re.compile(
    r"REPARAM_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

FIRST_CHOICE = "mnist-conv"  # of the shipped checkpoints, for calls that name none

logger = logging.getLogger(__name__)


def shipped() -> tuple[str, ...]:
    """The names of the checkpoints in the zoo, the one that is best to start with first."""
    return tuple(sorted(shipped_names(), key=lambda name: name != FIRST_CHOICE))


def as_sent(origin: str) -> str:
    """An origin as browsers send it: in lower case, and without the port that its scheme has anyway.

    Raises: ValueError: if it is none, or a part of one.
    """
    origin = origin.lower()
    if not re.fullmatch(r"\*|https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", origin):
        raise ValueError(
            "expected an origin such as https://example.org (a name beyond ASCII as xn--...), or * alone for any, "
            f"found {origin!r:.80}"
        )
    return re.sub(r"^(http://.+):80$|^(https://.+):443$", r"\1\2", origin)


def as_collector(address: str) -> str:
    """An address of OTLP over HTTP, as it is.

    Raises: ValueError: if it is none; of what follows the scheme nothing is told, for a password may be in it.
    """
    try:
        url = urlsplit(address)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return address
    except ValueError:  # which says a part of it
        pass
    scheme = re.match(r"\w+://", address)
    raise ValueError(f"expected http(s)://HOST:PORT, found {scheme[0] + '...' if scheme else 'no scheme'}")


def as_network(text: str) -> IPv4Network | IPv6Network:
    """A network, of one address where no more is said. Raises: ValueError: if it is none."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected an address, or a network such as 10.0.0.0/8: {error}") from None


Origin = Annotated[str, AfterValidator(as_sent)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(as_network)]
Collector = Annotated[str, AfterValidator(as_collector)]


class Settings(BaseSettings):
    """The service's configuration; frozen, so that it is the same for every request."""

    model_config = SettingsConfigDict(
        env_prefix="REPARAM_",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a secret
    )

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on, or a name.")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        description="Port to listen on; 0 takes a free one. A link as Kubernetes sets it (`tcp://...`) counts as none.",
    )
    workers: PositiveInt = Field(
        1, le=256, description="Processes that serve; `auto` is one for each core that this process may use."
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "auto", description="Where the models run: `cpu`, `cuda`, or `auto`: on a GPU if there is one."
    )
    threads: PositiveInt = Field(1, le=256, description="CPU threads of a forward pass, in each worker.")
    runtime: Literal["torch", "openvino", "openvino-bfloat16"] = Field(
        "torch",
        description="What runs networks with convolutions on a CPU: `torch`, or `openvino`, which is faster "
        "(the package's extra `openvino`); `openvino-bfloat16`, faster still, rounds to half the precision.",
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=shipped,
        description="Checkpoints to serve, separated by commas: names of shipped ones, or paths (with a /); left out, "
        f"every shipped one, {FIRST_CHOICE} first.",
    )
    default_model: str | None = Field(
        None, description="The model of a call that names none; left out, the first of `models`."
    )
    lazy_models: bool = Field(
        False, description="Load a model but the default at its first call, rather than at the start."
    )
    max_requests: PositiveInt = Field(
        1024,
        description="Requests that a worker handles at once, probes and `/metrics` excepted; beyond that, 503 at once.",
    )
    max_queue_images: PositiveInt = Field(
        20_000,
        description="Most images that wait for a model in a worker; beyond that, 503, unless nothing else waits.",
    )
    max_buffered_bytes: PositiveInt = Field(
        256 * 2**20,
        description="Request bodies that a worker holds in memory, in bytes, counted both as sent and as decompressed: "
        "at least twice `max_body_bytes`; beyond that, 503.",
    )
    request_timeout_s: float = Field(
        30, gt=0, le=3600, description="How long a request may take; a caller may ask for less: X-Request-Timeout-Ms."
    )
    body_timeout_s: float = Field(
        20,
        gt=0,
        le=3600,
        description="Time for a request's headers, and then for its body, to arrive; and the longest that a client may "
        "stop reading an answer.",
    )
    keep_alive_s: PositiveInt = Field(
        75,
        le=3600,
        description="How long a connection may be idle between two requests; a proxy in front should keep it for less.",
    )
    max_body_bytes: PositiveInt = Field(
        32 * 2**20, description="Largest request body, as it is sent and as it is when expanded."
    )
    max_json_bytes: PositiveInt = Field(
        8 * 2**20,
        description="Largest JSON request body, which costs ten times as much processor time to read; each value "
        "counts as at least 4 bytes, each list as 24.",
    )
    max_images: PositiveInt = Field(10_000, description="Most images in a request.")
    max_pixels: PositiveInt = Field(
        16_000_000, description="Most pixels in the images of a request together, before they are decoded."
    )
    image_readers: PositiveInt = Field(
        2, le=256, description="How many requests' images a worker reads at once; each takes up to 40 bytes a pixel."
    )
    max_latents: PositiveInt = Field(10_000, description="Most latent vectors in a request.")
    max_samples: PositiveInt = Field(1024, description="Most images drawn by a request, a map's included.")
    max_steps: int = Field(64, ge=2, le=1024, description="Most images of an interpolation.")
    max_sheet_pixels: PositiveInt = Field(
        16_000_000, description="Most pixels of a PNG answer, after the contact sheet and `scale`."
    )
    drain_delay_s: float = Field(
        0,
        ge=0,
        le=3600,
        description="How long requests are still served after a stop signal, with `/readyz` failing, so that load "
        "balancers notice.",
    )
    shutdown_timeout_s: PositiveInt = Field(10, le=3600, description="How long a stop waits for requests in flight.")
    api_keys: SecretStr | None = Field(
        None,
        description="Keys that callers need, separated by commas; set neither these nor the file, and none is needed.",
    )
    api_keys_file: Path | None = Field(
        None, description="A file with one key per line; a line that begins with # is a comment."
    )
    open_docs: bool = Field(True, description="The page at `/`, `/docs` and the schema need no key.")
    open_metrics: bool = Field(False, description="`/metrics` needs no key.")
    rate_limit: str | None = Field(
        None,
        description="Limit per key, or per address if there are no keys: `100/second`, `10/second;1000/hour`; left "
        "out, none.",
    )
    rate_limit_storage: SecretStr | None = Field(
        None,
        description="Where calls are counted: `redis://HOST:PORT/DB`, for all workers and replicas together; left out, "
        "or `memory://`, each worker counts for itself.",
    )
    rate_limit_on_failure: Literal["open", "closed"] = Field(
        "open", description="When the storage fails: `open` lets calls pass uncounted, `closed` answers 503."
    )
    rate_limit_timeout_ms: PositiveInt = Field(
        250,
        le=60_000,
        description="After how long without an answer the storage counts as failed; it is then not asked for a second.",
    )
    cors_origins: Annotated[tuple[Origin, ...], NoDecode] = Field(
        (), description="Origins whose pages may call, `https://example.org` say, separated by commas; `*` is any."
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Addresses or networks of proxies, separated by commas, whose X-Forwarded-For is believed."
    )
    log_format: LogFormat = Field("text", description="A line of the log is `text`, or an object of `json`.")
    log_level: LogLevel = Field("info", description="`debug`, `info`, `warning` or `error`: the least that is logged.")
    access_log: bool = Field(True, description="Whether each request is a line of the log, at `info`.")
    metrics: bool = Field(True, description="Whether `GET /metrics` answers.")
    otlp_endpoint: Collector | None = Field(
        None,
        description="Address of an OpenTelemetry collector, `http://collector:4318` say: traces go to its /v1/traces "
        "(needs the extra `otel`).",
    )

    @field_validator("models", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("models")
    @classmethod
    def _serve_some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("expected a checkpoint or more, found none; leave it unset to serve every shipped one")
        return value

    @field_validator("host", mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        return value.removeprefix("[").removesuffix("]") if isinstance(value, str) else value

    @field_validator("port", mode="before")
    @classmethod
    def _no_service_link(cls, value: object) -> object:
        return cls.model_fields["port"].default if isinstance(value, str) and SERVICE_LINK.match(value) else value

    @model_validator(mode="after")
    def _has_room_for_a_body(self) -> Self:
        if self.max_buffered_bytes < 2 * self.max_body_bytes:
            raise ValueError(
                "max_buffered_bytes: expected at least twice max_body_bytes, for a body counts as it is sent and as it "
                f"is when expanded, found {self.max_buffered_bytes} and {self.max_body_bytes}"
            )
        return self

    @property
    def keyed(self) -> bool:
        """Callers need a key."""
        return self.api_keys is not None or self.api_keys_file is not None

    @field_validator("workers", mode="before")
    @classmethod
    def _count_workers(cls, value: object) -> object:
        return available_cores() if value == "auto" else value

    def checkpoint_folders(self) -> list[Path]:
        """Where each of `models` lies: a name without a slash is a shipped checkpoint's."""
        return [checkpoint_folder(model) for model in self.models]


def setting_names() -> list[str]:
    """The environment variables that are settings."""
    return [f"REPARAM_{name.upper()}" for name in Settings.model_fields]


def unknown_names(environment: Iterable[str]) -> list[str]:
    """The variables that are named as if they were settings, and are none; a service's link is not meant to be one."""
    names = {name for name in map(str.upper, environment) if name.startswith("REPARAM_")} - set(setting_names())
    return sorted(name for name in names if not SERVICE_LINK_NAME.fullmatch(name))


def warn_of_unknown(environment: Iterable[str]) -> None:
    """Say which variables have no effect."""
    for name in unknown_names(environment):
        logger.warning("%s is set, and has no effect: no setting is called so", name)
