"""What metrics there are, how their values are kept and read, and how they are handed out."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.catalogue import Kind, Metric
from continuous_gtfs.metrics.exposition import endpoint, write_textfile
from continuous_gtfs.metrics.readings import Part, Readings
from continuous_gtfs.metrics.samples import Sample, Totals, sample
from continuous_gtfs_tests.metrics.scraping import Scrape, as_scraped, scraped, value

PLACE = ("sound_transit", "production", "vehicle_positions")


@contextmanager
def serving(samples: Sequence[Sample]) -> Iterator[str]:
    with endpoint(lambda: samples, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("metric", metrics.ALL, ids=lambda one: one.name)
def test_each_metric_is_named_as_prometheus_asks_for(metric: Metric) -> None:
    """Base units in the name, lower case, ``_total`` for counters alone, no label that a name says already."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert not re.search(r"_(ms|s|minutes|hours|kb|percent)(_|$)", metric.name)
    for time_or_size in ("age", "duration", "timestamp", "after"):
        if re.search(rf"_{time_or_size}(_|$)", metric.name):
            assert metric.name.endswith("_seconds"), metric.name
    assert metric.says.endswith(".")
    assert set(metric.labels).isdisjoint({"le", "quantile", "job", "instance", "__name__", "run_id", "version_id"})
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(metric.buckets)


def test_names_are_given_once() -> None:
    assert len(metrics.BY_NAME) == len(metrics.ALL) > 30
    names = [name for metric in metrics.ALL for name in metric.sample_names]
    assert len(names) == len(set(names))


def test_a_histogram_is_handed_out_with_buckets_that_add_up(tmp_path: Path) -> None:
    totals = Totals()
    for seconds in (0.2, 5.0, 5.1, 4000.0, -3.0):
        totals.observe(metrics.AGE_AT_PUBLICATION, *PLACE, at=0.0, value=seconds)
    scrape = as_scraped(totals.samples(), tmp_path)
    of = {"agency": PLACE[0], "environment": PLACE[1], "feed": PLACE[2]}
    below = {le: value(scrape, "publication_age_seconds_bucket", le=le, **of) for le in ("1.0", "5.0", "7.5", "+Inf")}
    assert below == {"1.0": 2, "5.0": 3, "7.5": 4, "+Inf": 5}
    assert value(scrape, "publication_age_seconds_count", **of) == 5
    assert value(scrape, "publication_age_seconds_sum", **of) == pytest.approx(4010.3)


def test_totals_are_the_same_after_they_were_kept(tmp_path: Path) -> None:
    totals = Totals()
    totals.count(metrics.RUNS, "a", "production", "realtime", "success", at=10.0, by=7)
    totals.observe(metrics.STEP_SECONDS, "a", "production", "realtime", 'a "step"\n', at=10.0, value=0.25)
    kept = Totals.from_list(json.loads(json.dumps(totals.to_list())))
    kept.count(metrics.RUNS, "a", "production", "realtime", "success", at=11.0)
    scrape = as_scraped(kept.samples(), tmp_path)
    assert value(scrape, "runs_total", status="success") == 8
    assert value(scrape, "step_duration_seconds_count", step='a "step"\n') == 1


def test_what_another_release_has_counted_in_another_way_begins_anew() -> None:
    rows = [
        ["runs", ["a", "production", "realtime", "success"], 0, 7.0],
        ["runs", ["a", "success"], 0, 7.0],
        ["a_metric_of_old", [], 0, 7.0],
        ["run_duration_seconds", ["a", "production", "realtime"], 0, [1, 2, 3, 4.5]],
    ]
    assert [(one.metric.name, one.value) for one in Totals.from_list(rows).samples()] == [("runs", 7.0)]


def test_a_series_that_no_longer_grows_is_forgotten() -> None:
    totals = Totals()
    totals.count(metrics.OPS_FAILED, "a", "qa", "schedule", "a_step_of_old", at=100.0)
    totals.count(metrics.OPS_FAILED, "a", "qa", "schedule", "publish", at=900.0)
    totals.forget(before=500.0)
    assert [one.labels[-1] for one in totals.samples()] == ["publish"]


def test_a_value_with_the_wrong_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="published has the labels"):
        sample(metrics.PUBLISHED, "production", value=1)


def read(readings: Readings, folder: Path) -> Scrape:
    return as_scraped(readings.current(), folder)


def test_a_part_that_hangs_is_down_in_time_and_is_not_asked_again_before_it_has_come_back(tmp_path: Path) -> None:
    go_on, asked = threading.Event(), list[float]()

    def hang(now: float) -> list[Sample]:
        asked.append(now)
        go_on.wait()
        return [sample(metrics.POOL_USED, "schedule", value=1)]

    told: list[str] = []
    readings = Readings(
        parts=[
            Part(name="database", read=hang, up=metrics.DATABASE_UP),
            Part(name="archive", read=lambda _: [], up=metrics.STORE_UP, up_labels=("archive",)),
        ],
        cached_s=0.0,
        wait_s=0.05,
        tell=told.append,
    )
    try:
        for _ in range(3):
            scrape = read(readings, tmp_path)
            assert (value(scrape, "database_up"), value(scrape, "store_up", store="archive")) == (0, 1)
        assert len(asked) == 1
    finally:
        go_on.set()
    hanging = readings.parts[0].thread
    assert hanging is not None
    hanging.join()
    assert value(read(readings, tmp_path), "pool_slots_used", pool="schedule") == 1
    assert told == ["database cannot be read: gives no answer in 0.05 s", "database can be read again"]


def test_a_part_that_fails_says_nothing_that_was_true_once(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def fail_if_told(_: float) -> list[Sample]:
        if failures:
            raise failures[0]
        return [sample(metrics.HEARTBEAT, "SENSOR", value=1000.0)]

    told: list[str] = []
    part = Part(name="database", read=fail_if_told, up=metrics.DATABASE_UP)
    readings = Readings(parts=[part], cached_s=0.0, tell=told.append)
    assert value(read(readings, tmp_path), "daemon_heartbeat_timestamp_seconds") == 1000.0
    for failure in (ConfigurationError("nobody answers"), ConfigurationError("nobody answers"), ZeroDivisionError("x")):
        failures[:] = [failure]
        scrape = read(readings, tmp_path)
        assert value(scrape, "database_up") == 0
        assert value(scrape, "daemon_heartbeat_timestamp_seconds") is None
    assert told == ["database cannot be read: nobody answers", "database cannot be read: ZeroDivisionError: x"]


def test_who_asks_again_at_once_gets_what_was_read_before() -> None:
    asked: list[float] = []

    def count(now: float) -> list[Sample]:
        asked.append(now)
        return []

    readings = Readings(parts=[Part(name="archive", read=count, up=metrics.STORE_UP, up_labels=("archive",))])
    assert [len(readings.current()) for _ in range(5)] == [3] * 5, "up, how long it took, and when"
    assert len(asked) == 1


def test_the_endpoint_serves_metrics_at_their_path_and_says_that_it_is_alive_without_reading_any() -> None:
    with serving([sample(metrics.STORE_UP, "published", value=1)]) as url:
        with urllib.request.urlopen(f"{url}/metrics") as answer:
            scrape = scraped(answer.read().decode())
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert value(scrape, "store_up", store="published") == 1
        assert scrape["process_resident_memory_bytes"][()] > 1e6
        with urllib.request.urlopen(f"{url}/healthz") as answer:
            assert answer.read() == b"alive\n"
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{url}/")
        refused.value.close()


def test_a_textfile_takes_the_place_of_the_one_before_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "continuous_gtfs.prom"
    path.write_text("what was there before")
    before = path.stat().st_ino
    write_textfile(path, lambda: [sample(metrics.DATABASE_UP, value=0)])
    assert path.stat().st_ino != before, "a reader sees the one or the other"
    assert value(scraped(path.read_text()), "database_up") == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_textfile_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--textfile .*nowhere/a.prom cannot be written"):
        write_textfile(tmp_path / "nowhere" / "a.prom", lambda: [])
