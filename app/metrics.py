"""What the service counts, for Prometheus.

A worker counts in plain numbers, on its event loop alone, which are handed to `prometheus_client` by `flush`: ten times
a second and before a scrape. Where several workers share their figures through files, one observation there costs 5
microseconds. The files are a place's, not a process's: a worker counts on in those of the one whose place it takes.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from multiprocessing import current_process
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app.stages import Stage

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable that prometheus_client reads when it is imported
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXITS = ("hung", "signal", "status")
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

if FOLDER in os.environ:
    values.ValueClass = values.MultiProcessValue(lambda: current_process().name)

_registry = CollectorRegistry()
_requests = Counter("reparam_requests", "Requests answered.", ["operation", "status"], registry=_registry)
_errors = Counter("reparam_errors", "Requests that failed, by problem.", ["operation", "type"], registry=_registry)
_request_seconds = Histogram(
    "reparam_request_seconds",
    "From the head of a request to the end of its answer.",
    ["operation"],
    buckets=SECONDS,
    registry=_registry,
)
_stage_seconds = Histogram(
    "reparam_stage_seconds", "Where the time of a request goes.", ["stage"], buckets=SECONDS, registry=_registry
)
_in_flight = Gauge(
    "reparam_requests_in_flight", "Requests being answered.", multiprocess_mode="livesum", registry=_registry
)
_queue_images = Gauge(
    "reparam_queue_images", "Images that wait.", ["model"], multiprocess_mode="livesum", registry=_registry
)
_queue_age = Gauge(
    "reparam_queue_age_seconds",
    "How long the oldest call in a queue has waited; the oldest of all workers'.",
    ["model"],
    multiprocess_mode="livemax",
    registry=_registry,
)
_batch_images = Histogram(
    "reparam_batch_images", "Images in a batch.", ["model", "function"], buckets=IMAGES, registry=_registry
)
_batch_seconds = Histogram(
    "reparam_batch_seconds", "A batch in the network.", ["model", "function"], buckets=SECONDS, registry=_registry
)
_images = Counter("reparam_images", "Images that models worked on.", ["model", "function"], registry=_registry)
_reloads = Counter("reparam_reloads", "Checkpoints read anew.", ["model", "outcome"], registry=_registry)
_read_well = Gauge(
    "reparam_last_reload_successful",
    "1 if a model's checkpoint was good when it was last read; 0 if to any worker it was not, which serves an old one.",
    ["model"],
    multiprocess_mode="livemin",
    registry=_registry,
)
_uncounted = Counter("reparam_uncounted", "Requests that the rate limits could not count.", registry=_registry)


class Workers(NamedTuple):
    """The processes of the service, as their supervisor sees them."""

    wanted: int
    ready: int
    exits: Mapping[str, int]  # how many ended, by reason


_workers = Workers(1, 1, {})  # this one, where there is no supervisor


class _BufferedCounter:
    """What is to be added to a counter."""

    def __init__(self, counter: Counter, labels: tuple[str, ...]) -> None:
        self._counter, self._labels, self._waiting = counter, labels, 0
        self._changed = True  # one that nothing was added to is 0

    def add(self, number: int = 1) -> None:
        self._waiting += number
        self._changed = True

    def flush(self) -> None:
        if self._changed:
            (self._counter.labels(*self._labels) if self._labels else self._counter).inc(self._waiting)
            self._waiting, self._changed = 0, False


class _BufferedGauge:
    """What a gauge is to be set to."""

    def __init__(self, gauge: Gauge, labels: tuple[str, ...]) -> None:
        self._gauge, self._labels, self._value, self._changed = gauge, labels, 0.0, True

    def add(self, change: float) -> None:
        self._value += change
        self._changed = True

    def set(self, value: float) -> None:
        self._value, self._changed = value, True

    def flush(self) -> None:
        if self._changed:
            (self._gauge.labels(*self._labels) if self._labels else self._gauge).set(self._value)
            self._changed = False


class _BufferedHistogram:
    """What is to be observed by a histogram."""

    def __init__(self, histogram: Histogram, labels: tuple[str, ...]) -> None:
        self._histogram, self._labels = histogram, labels
        self._bounds = histogram._upper_bounds
        self._counts, self._sum = [0] * len(self._bounds), 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        # `observe` takes one value at a time: this is what it does, for many.
        if any(self._counts):
            histogram = self._histogram.labels(*self._labels)
            for bucket, count in zip(histogram._buckets, self._counts, strict=True):
                if count:
                    bucket.inc(count)
            histogram._sum.inc(self._sum)
            self._counts, self._sum = [0] * len(self._bounds), 0.0


_waiting: list[_BufferedCounter | _BufferedGauge | _BufferedHistogram] = []


@cache
def _total(counter: Counter, *labels: str) -> _BufferedCounter:
    total = _BufferedCounter(counter, labels)
    _waiting.append(total)
    return total


@cache
def _level(gauge: Gauge, *labels: str) -> _BufferedGauge:
    level = _BufferedGauge(gauge, labels)
    _waiting.append(level)
    return level


@cache
def _spread(histogram: Histogram, *labels: str) -> _BufferedHistogram:
    spread = _BufferedHistogram(histogram, labels)
    _waiting.append(spread)
    return spread


def began() -> None:
    """A request has arrived."""
    _level(_in_flight).add(1)


def ended(operation: str, status: int, problem: str | None, seconds: float, stages: dict[Stage, float]) -> None:
    """A request is answered, with the name of its problem if it has one."""
    _level(_in_flight).add(-1)
    _total(_requests, operation, str(status)).add()
    if problem is not None:
        _total(_errors, operation, problem).add()
    _spread(_request_seconds, operation).observe(seconds)
    for name, spent in stages.items():
        _spread(_stage_seconds, name).observe(spent)


def batch(model: str, function: str, images: int, seconds: float) -> None:
    """A batch went through a model."""
    _spread(_batch_images, model, function).observe(images)
    _spread(_batch_seconds, model, function).observe(seconds)
    _total(_images, model, function).add(images)


def queue(model: str, images: int, age_s: float) -> None:
    """So many images wait for a model now, the oldest for so long; 0 if none waits."""
    _level(_queue_images, model).set(images)
    _level(_queue_age, model).set(age_s)


def served(model: str) -> None:
    """A model is served from now on: its counts begin at 0, for Prometheus sees a counter grow, but not appear."""
    for ok in (True, False):
        _reload(model, ok)
    _level(_read_well, model).set(1)


def reloaded(model: str, ok: bool) -> None:
    """A model's checkpoint was read anew: `ok` if it is served now, else the old one still is."""
    _reload(model, ok).add()
    _level(_read_well, model).set(ok)


def unchanged(model: str) -> None:
    """A model's checkpoint was read anew, and is the one that is served."""
    _level(_read_well, model).set(1)


def _reload(model: str, ok: bool) -> _BufferedCounter:
    return _total(_reloads, model, "success" if ok else "failure")


def uncounted() -> None:
    """The storage of the rate limits does not answer: a request is let pass or refused without a count."""
    _total(_uncounted).add()


def workers(told: Workers) -> None:
    """What a worker hears of them from its supervisor."""
    global _workers
    _workers = told


def flush() -> None:
    """Hand over what was counted since the last time. Raises: OSError: if workers' files cannot be made; it is kept."""
    for figure in _waiting:
        figure.flush()


def forget(worker: str) -> None:
    """A worker, by its process's name, has ended: what it had in hand is gone, what it counted stays."""
    mark_process_dead(worker)


def _of_workers(workers: Workers) -> Iterator[Metric]:
    yield GaugeMetricFamily("reparam_workers_wanted", "Processes that should serve.", workers.wanted)
    yield GaugeMetricFamily("reparam_workers_ready", "Processes that do.", workers.ready)
    exits = CounterMetricFamily("reparam_worker_exits", "Workers that ended and were replaced.", labels=("reason",))
    for reason in EXITS:
        exits.add_metric((reason,), workers.exits.get(reason, 0))
    yield exits


class _All(Collector):
    """Every worker's figures, and what is told of the service and its models."""

    def __init__(self, told: Iterable[Metric]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        yield from self._told
        yield from _of_workers(_workers)
        if FOLDER in os.environ:
            yield from MultiProcessCollector(None).collect()
        else:
            yield from _registry.collect()
            yield from ProcessCollector(registry=None).collect()


def render(accept: str, build: dict[str, str], models: Iterable[dict[str, str]]) -> tuple[bytes, str]:
    """The figures in the form that an Accept header asks for, and its media type.

    Args:
        build: what `reparam_build_info` says.
        models: what `reparam_model_info` says of each.
    """
    told = InfoMetricFamily("reparam_model", "The models that are served.", labels=("name", "kind", "sha256"))
    for model in models:
        told.add_metric((model["name"], model["kind"], model["sha256"]), {})
    encode, media = choose_encoder(accept)
    return encode(_All((InfoMetricFamily("reparam_build", "What runs.", value=build), told))), media
