"""Measurements; each prints what it measured. Run on an idle machine: `make bench`, `make bench-serving`."""
