"""Whether the service is ready, for the image's health check: python -m app.healthcheck.

It asks where the settings say that the service is: the options of a `reparam serve` are not seen from here.
"""

import sys
from http.client import HTTPConnection

from app.listeners import reached_at
from app.settings import Settings

TIMEOUT_S = 2


def is_ready(settings: Settings) -> bool:
    """Whether `/readyz` answers 200. Raises: OSError; HTTPException: if nothing answers, or no HTTP."""
    link = HTTPConnection(reached_at(settings.host), settings.port, timeout=TIMEOUT_S)
    try:
        link.request("GET", "/readyz")
        return link.getresponse().status == 200
    finally:
        link.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(Settings()) else 1)
