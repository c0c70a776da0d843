"""Counters that cost an addition on the stanza path; collected when somebody asks.

    counts = metrics.counters('jabberd_c2s_stanzas', 'Stanzas from clients.', 'kind', ('message', 'presence', 'iq'))
    counts.message += 1                      # one attribute, no call

    metrics.gauge('jabberd_c2s_streams', 'Client streams.', lambda: len(self.streams))
    metrics.gauge('jabberd_link_queue_bytes', 'Waiting to be sent.', self.queues, label='router')   # -> {router: bytes}

    login = metrics.histogram('jabberd_c2s_login_seconds', 'TCP accept to bound resource.')
    login.observe(0.02)

Several of one name (two c2s in one process) are added up.  No label ever takes its values from what users send.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from twisted.logger import Logger

CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

# Seconds: from what one stanza takes to what a slow login over a phone takes.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Reading = float | Mapping[str, float]


class Counters:
    """Whole numbers that only grow: an attribute for each value of the label ('no-link' is `no_link`); without a
    label the one attribute `total`."""

    __slots__ = ('name', 'help', 'label', 'values')

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> int: ...

        def __setattr__(self, name: str, value: object) -> None: ...

    def __new__(cls, name: str, help: str, label: str = '', values: Sequence[str] = ()) -> Counters:
        """A class of its own, so that each number is a slot: one `+= 1` takes 30 ns, and a misspelt one fails."""
        slots = tuple(attribute(value) for value in values) or ('total',)
        if len(set(slots)) != max(len(values), 1) or set(slots) & set(cls.__slots__):
            raise ValueError(f'{name}: values that are no different names: {values!r}')
        return object.__new__(type('Counters', (cls,), {'__slots__': slots}))

    def __init__(self, name: str, help: str, label: str = '', values: Sequence[str] = ()) -> None:
        if bool(label) != bool(values):
            raise ValueError(f'{name}: a label needs values, and values a label')
        self.name, self.help, self.label, self.values = name, help, label, tuple(values)
        for value in self.values or ('total',):
            setattr(self, attribute(value), 0)

    def one_more(self, value: str) -> None:
        """Count one of a value that is at hand as text, off the stanza path."""
        name = attribute(value)
        setattr(self, name, getattr(self, name) + 1)

    def read(self) -> dict[str, int]:
        """The number for each value of the label; {'': number} without one."""
        if not self.values:
            return {'': self.total}
        return {value: getattr(self, attribute(value)) for value in self.values}


class Histogram:
    """Counts by size, and the sum.  An observation takes 0.2 µs."""

    __slots__ = ('name', 'help', 'bounds', 'counts', 'sum')

    def __init__(self, name: str, help: str, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds`: the upper end of each bucket, rising; one without an end follows."""
        self.name, self.help, self.bounds = name, help, tuple(bounds)
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f'{name}: bounds that do not rise: {bounds!r}')
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the unit that the name ends in."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class _Gauge(NamedTuple):
    name: str
    help: str
    label: str
    read: Callable[[], Reading]


class _Counted(_Gauge):
    """The same of what only grows."""

    __slots__ = ()


class Metrics:
    """All of a process's metrics; made once, passed to whatever counts."""

    log = Logger()

    def __init__(self) -> None:
        self._found: dict[str, list[Counters | _Gauge | Histogram]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collected(self))
        ProcessCollector(registry=self._registry)

    def counters(self, name: str, help: str, label: str = '', values: Sequence[str] = ()) -> Counters:
        """New counters.  `name` without Prometheus's '_total'."""
        counts = Counters(name, help, label, values)
        self.add(counts)
        return counts

    def add(self, counts: Counters) -> None:
        """Counters that were made without Metrics."""
        self._put(counts.name, counts)

    def gauge(self, name: str, help: str, read: Callable[[], Reading], label: str = '') -> Callable[[], None]:
        """What goes up and down, read when somebody asks: a number, or with a label a number for each value.

        Gives a function that takes it away again: for what comes and goes within the life of a process."""
        gauge = _Gauge(name, help, label, read)
        self._put(name, gauge)
        return lambda: self._take(name, gauge)

    def counted(self, name: str, help: str, read: Callable[[], Reading], label: str = '') -> None:
        """What only grows and is counted elsewhere, read when somebody asks.  `name` without Prometheus's '_total'."""
        self._put(name, _Counted(name, help, label, read))

    def histogram(self, name: str, help: str, bounds: Sequence[float] = SECONDS) -> Histogram:
        """The histogram of this name: the same one for all who ask."""
        for known in self._found.get(name, ()):
            if isinstance(known, Histogram) and known.bounds == tuple(bounds):
                return known
        histogram = Histogram(name, help, bounds)
        self._put(name, histogram)
        return histogram

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)

    def has(self, name: str) -> bool:
        """Whether there is a metric of this name."""
        return name in self._found

    def value(self, name: str, label: str = '') -> float:
        """One number now, for tests and `status`: of counters and gauges the sum, of a histogram how many."""
        total = 0.0
        for part in self._found[name]:
            if isinstance(part, Histogram):
                total += sum(part.counts)
            else:
                readings = _readings(part)
                total += readings.get(label, 0) if label else sum(readings.values())
        return total

    def _put(self, name: str, part: Counters | _Gauge | Histogram) -> None:
        parts = self._found.setdefault(name, [])
        if parts and (type(parts[0]).__name__, _shape(parts[0])) != (type(part).__name__, _shape(part)):
            raise ValueError(f'{name}: there is another metric of this name')
        parts.append(part)

    def _take(self, name: str, part: _Gauge) -> None:
        parts = [other for other in self._found.get(name, []) if other is not part]
        if parts:
            self._found[name] = parts
        else:
            self._found.pop(name, None)

    def families(self) -> Iterable[Metric]:
        """What prometheus_client writes out."""
        for name, parts in sorted(self._found.items()):
            try:
                family = _family(name, parts)
            except Exception:
                # One gauge that fails must not hide all others.
                self.log.failure('the metric {name} cannot be read', name=name)
                continue
            yield family


class _Collected(Collector):
    """How prometheus_client asks for it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families()


@lru_cache(1024)
def attribute(value: str) -> str:
    """The attribute of Counters for a value of the label."""
    name = re.sub(r'\W', '_', value)
    return f'_{name}' if name[:1].isdigit() else name


def _shape(part: Counters | _Gauge | Histogram) -> tuple[object, ...]:
    """What must be equal in all that are added up under one name."""
    if isinstance(part, Histogram):
        return part.bounds
    return (part.label, part.values if isinstance(part, Counters) else ())


def _readings(part: Counters | _Gauge) -> Mapping[str, float]:
    found = part.read()
    return found if isinstance(found, Mapping) else {'': found}


def _family(name: str, parts: Sequence[Counters | _Gauge | Histogram]) -> Metric:
    """Add up all of one name."""
    first = parts[0]
    if isinstance(first, Histogram):
        return _histogram_family([part for part in parts if isinstance(part, Histogram)])
    sums: dict[str, float] = {}
    for part in parts:
        if not isinstance(part, Histogram):
            for value, number in _readings(part).items():
                sums[value] = sums.get(value, 0) + number
    kind = CounterMetricFamily if isinstance(first, Counters | _Counted) else GaugeMetricFamily
    family = kind(name, first.help, labels=[first.label] if first.label else [])
    for value, number in sums.items():
        family.add_metric([value] if first.label else [], number)
    return family


def _histogram_family(parts: Sequence[Histogram]) -> Metric:
    buckets, running = [], 0
    counts = [sum(column) for column in zip(*(part.counts for part in parts), strict=True)]
    for bound, count in zip([*map(str, parts[0].bounds), '+Inf'], counts, strict=True):
        running += count
        buckets.append((bound, float(running)))
    family = HistogramMetricFamily(parts[0].name, parts[0].help)
    family.add_metric([], buckets, sum(part.sum for part in parts))
    return family
