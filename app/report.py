"""What a service is: its models, its settings, its versions. Told at the start and by `reparam doctor`."""

import platform
from functools import cache
from importlib.metadata import version
from itertools import chain
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from app.listeners import reached_at
from app.settings import Settings

if TYPE_CHECKING:
    from app.engine import Engine

Report = dict[str, Any]  # as JSON

WIDTH = 120  # of a line to read
MEMORY = "memory://"
PACKAGES = ("torch", "numpy", "fastapi", "uvicorn")


@cache
def versions() -> dict[str, str]:
    """Of the program itself, of Python, and of the packages that matter most."""
    return {"reparam": version("reparam"), "python": platform.python_version()} | {
        package: version(package) for package in PACKAGES
    }


def address_of(host: str, port: int) -> str:
    """Where this machine reaches a service that listens on `host`: http://HOST:PORT."""
    shown = reached_at(host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def describe(settings: Settings, address: str, engine: "Engine") -> Report:
    """Everything that an operator may want to see at a glance; never a secret.

    Args:
        address: http://HOST:PORT.
    """
    from models.device import find_device  # torch, without which a supervisor tells what its workers serve

    return {
        "address": address,
        "docs": f"{address}/docs",
        "default_model": engine.default,
        "models": [
            {key: model.card()[key] for key in ("name", "kind", "latents", "parameters", "sha256")}
            | {"folder": str(model.folder), "lazy": settings.lazy_models and model.name != engine.default}
            for model in engine.models.values()
        ],
        "device": str(find_device(settings.device)),
        "workers": settings.workers,
        "threads": settings.threads,
        "runtime": settings.runtime,
        "limits": {name: getattr(settings, name) for name in Settings.model_fields if _is_limit(name)},
        "keys": settings.keyed,
        "open": {"docs": settings.open_docs, "metrics": settings.open_metrics},  # without a key
        "rate_limit": _rate_limit(settings),
        "cors_origins": settings.cors_origins,
        "trusted_proxies": [str(network) for network in settings.trusted_proxies],
        "metrics": f"{address}/metrics" if settings.metrics else None,
        "traces": settings.otlp_endpoint and _without_password(settings.otlp_endpoint),
        "logs": {"format": settings.log_format, "level": settings.log_level, "access": _logs_requests(settings)},
        "versions": versions(),
    }


def _logs_requests(settings: Settings) -> bool:
    return settings.access_log and settings.log_level in ("debug", "info")


def _rate_limit(settings: Settings) -> dict[str, Any] | None:
    if settings.rate_limit is None:
        return None
    storage = settings.rate_limit_storage
    return {
        "limit": settings.rate_limit,
        "storage": _without_password(storage.get_secret_value()) if storage else MEMORY,
        "on_failure": settings.rate_limit_on_failure,
        "timeout_ms": settings.rate_limit_timeout_ms,
    }


def _told(rate_limit: dict[str, Any]) -> str:
    text = f"{rate_limit['limit']}, counted in {rate_limit['storage']}"
    if rate_limit["storage"] == MEMORY:
        return text
    return f"{text}; when that fails, or takes {rate_limit['timeout_ms']} ms, {rate_limit['on_failure']}"


def _asked(report: Report) -> str:
    if not report["keys"]:
        return "not asked for"
    named = {"docs": "the page, /docs and the schema", "metrics": "/metrics"}
    return "asked for, but not by " + ", ".join(["probes", *(named[name] for name in named if report["open"][name])])


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("?")[0].partition("://")
    _, password, address = rest.rpartition("@")
    return f"{scheme}://{'...@' if password else ''}{address}"


def _is_limit(setting: str) -> bool:
    return setting.startswith("max_") or setting.endswith(("_s", "_readers"))


def as_text(report: Report) -> str:
    """A block to read."""
    rows = [("address", f"{report['address']}, try it at {report['docs']}")]
    for model in report["models"]:
        name = model["name"] + (" (default)" if model["name"] == report["default_model"] else "")
        latents = f"{model['latents']} latent{'s' * (model['latents'] != 1)}"
        rows.append(
            (
                "model",
                f"{name}: {model['kind']}, {latents}, {model['parameters']:,} parameters, "
                f"sha256 {model['sha256'][:12]}, from {model['folder']}"
                + (", loaded at its first call" if model["lazy"] else ""),
            )
        )
    runs_on = f"{report['device']}, workers {report['workers']}, threads of each {report['threads']}"
    rows.append(("runs on", f"{runs_on}, networks by {report['runtime']}"))
    rows.append(("limits", ", ".join(f"{name} {value}" for name, value in report["limits"].items())))
    rows.append(("keys", _asked(report)))
    rows.append(("rate", _told(report["rate_limit"]) if report["rate_limit"] else "not limited"))
    rows.append(("origins", ", ".join(report["cors_origins"]) or "its own alone"))
    rows.append(("proxies", ", ".join(report["trusted_proxies"]) or "none trusted"))
    rows.append(("metrics", report["metrics"] or "off"))
    rows.append(("traces", f"to {report['traces']}" if report["traces"] else "off"))
    logs = report["logs"]
    rows.append(("logs", f"{logs['format']}, {logs['level']}, requests {'on' if logs['access'] else 'off'}"))
    rows.append(("versions", ", ".join(f"{name} {value}" for name, value in report["versions"].items())))
    lines = (
        wrap(value, WIDTH, initial_indent=f"  {name:<9}", subsequent_indent=" " * 11, break_on_hyphens=False)
        for name, value in rows
    )
    return "\n".join(["Reparam", *chain.from_iterable(lines)])
