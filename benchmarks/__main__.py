"""Runs every benchmark, one after the other."""

from benchmarks import quality, startup, training

for benchmark in (training, startup, quality):
    benchmark.main()
