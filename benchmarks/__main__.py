"""Runs the benchmarks one after the other, but for `benchmarks.serving`, which takes long and needs wrk."""

from benchmarks import encoding, quality, startup, training

for benchmark in (training, startup, encoding, quality):
    benchmark.main()
