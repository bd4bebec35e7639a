"""What may be asked without a key."""

HEALTH = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
DOCS = frozenset({"/", "/docs", "/openapi.json"})
METRICS = frozenset({"/metrics"})
PROBES = HEALTH | METRICS  # what watches the service: bounds on what callers ask for are not for it
# The files that the pages load, and nothing else.
STATIC = ("/static-offline-docs/", "/web/")
