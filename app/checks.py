"""What can be wrong with a start, found before torch is imported: no mistake waits for the seconds that it takes."""

import os
from importlib.util import find_spec

from app.access import Keys, check_access
from app.settings import Settings, warn_of_unknown
from app.traces import Traces
from models.errors import InputError, ReparamError


def check_start(settings: Settings) -> Keys | None:
    """Fail the start for what the settings ask for and cannot have, and warn of what has no effect.

    Returns: the keys that every worker takes.
    Raises: ReparamError; InputError.
    """
    warn_of_unknown(os.environ)
    if settings.otlp_endpoint:
        _check_extra("otlp_endpoint", "otel", "opentelemetry.exporter.otlp.proto.http")
        try:
            Traces(settings.otlp_endpoint).close()
        except Exception as error:  # of any kind: its packages read the variables each in its way
            raise InputError(f"traces: expected OTEL_ variables that can be followed, found: {error}") from error
    if settings.runtime != "torch":
        _check_extra("runtime", "openvino", "openvino")
    return check_access(settings)


def _check_extra(setting: str, extra: str, package: str) -> None:
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # what it lies in is not there either
        found = None
    if found is None:
        raise ReparamError(
            f"{setting} (REPARAM_{setting.upper()}): expected the packages of the extra {extra} "
            f"(pip install -c constraints.txt -e '.[{extra}]'), found no {package}"
        )
