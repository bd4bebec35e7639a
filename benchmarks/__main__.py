"""Runs every benchmark, one after the other."""

from benchmarks import startup, training

for benchmark in (training, startup):
    benchmark.main()
