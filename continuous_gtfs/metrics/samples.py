"""Values of metrics: gauges as they are read, and totals that grow from one reading to the next."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from continuous_gtfs.metrics.catalogue import BY_NAME, Kind, Metric

SECONDS_KEPT = 30 * 86400.0
"""A series that has not grown for so long is forgotten: the step, the feed, the check is gone."""


@dataclass(slots=True)
class Distribution:
    """Of a histogram: how many observations fell into each bucket, the infinite one last, and their sum."""

    counts: list[int]
    total: float = 0.0

    def observe(self, value: float, bounds: tuple[float, ...]) -> None:
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class Sample:
    """One value; ``labels`` in the order of the metric's."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has the labels {self.metric.labels}, not {self.labels}")


def sample(metric: Metric, *labels: str, value: float) -> Sample:
    return Sample(metric, labels, float(value))


@dataclass(slots=True)
class _Series:
    value: float | Distribution
    grown_at: float


@dataclass(slots=True)
class Totals:
    """Counters and histograms. Given the same events in the same order, two of them are the same."""

    series: dict[tuple[str, tuple[str, ...]], _Series] = field(default_factory=dict)

    def count(self, metric: Metric, *labels: str, at: float, by: float = 1.0) -> None:
        """Add to a counter; ``at`` in POSIX seconds."""
        one = self.series.setdefault((metric.name, labels), _Series(0.0, at))
        assert isinstance(one.value, float)
        one.value, one.grown_at = one.value + by, max(one.grown_at, at)

    def observe(self, metric: Metric, *labels: str, at: float, value: float) -> None:
        """Add an observation to a histogram; a clock that was set back makes none below zero."""
        empty = Distribution([0] * (len(metric.buckets) + 1))
        one = self.series.setdefault((metric.name, labels), _Series(empty, at))
        assert isinstance(one.value, Distribution)
        one.value.observe(max(value, 0.0), metric.buckets)
        one.grown_at = max(one.grown_at, at)

    def forget(self, *, before: float) -> None:
        """Drop the series that have not grown since; POSIX seconds."""
        self.series = {key: one for key, one in self.series.items() if one.grown_at >= before}

    def samples(self) -> Iterator[Sample]:
        for (name, labels), one in sorted(self.series.items()):
            yield Sample(BY_NAME[name], labels, one.value)

    def to_list(self) -> list[Any]:
        """JSON-safe."""
        return [
            [
                name,
                list(labels),
                round(one.grown_at),
                [*one.value.counts, round(one.value.total, 6)] if isinstance(one.value, Distribution) else one.value,
            ]
            for (name, labels), one in self.series.items()
        ]

    @classmethod
    def from_list(cls, rows: list[Any]) -> Totals:
        """The totals; what this release counts in another way begins anew.

        Raises:
            ValueError, TypeError, KeyError: These are none.
        """
        totals = cls()
        for name, labels, grown_at, value in rows:
            metric = BY_NAME.get(name)
            if metric is None or len(metric.labels) != len(labels):
                continue
            found: float | Distribution
            if metric.kind is Kind.HISTOGRAM:
                if not isinstance(value, list) or len(value) != len(metric.buckets) + 2:
                    continue
                found = Distribution([int(count) for count in value[:-1]], float(value[-1]))
            else:
                found = float(value)
            totals.series[name, tuple(map(str, labels))] = _Series(found, float(grown_at))
        return totals
