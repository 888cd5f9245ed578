"""What Prometheus would find in a text of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from continuous_gtfs.metrics.exposition import write_textfile
from continuous_gtfs.metrics.samples import Sample

Scrape = dict[str, dict[tuple[tuple[str, str], ...], float]]


def scraped(text: str) -> Scrape:
    """By name, the value for each set of labels; a series that is there twice fails."""
    found: Scrape = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            series = found.setdefault(one.name, {})
            labels = tuple(sorted(one.labels.items()))
            assert labels not in series, one
            series[labels] = one.value
    return found


def as_scraped(samples: Iterable[Sample], folder: Path) -> Scrape:
    """Samples as they are found after their way through a textfile."""
    path = folder / "metrics.prom"
    write_textfile(path, lambda: samples)
    return scraped(path.read_text())


def value(scrape: Scrape, name: str, **labels: str) -> float | None:
    """The value of ``continuous_gtfs_<name>`` for the one series that has these labels; None where there is none."""
    wanted = set(labels.items())
    found = [value for had, value in scrape.get(f"continuous_gtfs_{name}", {}).items() if wanted <= set(had)]
    assert len(found) < 2, f"{name} {labels}: {len(found)} series"
    return found[0] if found else None
