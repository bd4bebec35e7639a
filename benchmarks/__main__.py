"""Runs every benchmark, one after the other."""

from benchmarks import encoding, quality, startup, training

for benchmark in (training, startup, encoding, quality):
    benchmark.main()
