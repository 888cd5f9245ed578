"""Every metric there is: its name, what it says, its labels. The one definition of each; nothing here has a value.

Counters and histograms count since the platform's database began to be counted, see ``defs.metrics_totals``; gauges
say what is so now. Moments are POSIX seconds, so that a reader takes the age itself: ``time() - moment``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "continuous_gtfs_"


class Kind(StrEnum):
    """As Prometheus has them."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: Without the prefix, and without the ``_total`` of a counter.
        buckets: Of a histogram, upper bounds in rising order, without the infinite one.
    """

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names under which its values are found."""
        if self.kind is Kind.COUNTER:
            return (f"{self.full_name}_total",)
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.full_name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.full_name,)


def _gauge(name: str, says: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, says, labels)


def _counter(name: str, says: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, says, labels)


_FEED = ("agency", "environment", "feed")
_PIPELINE = ("agency", "environment", "pipeline")
_AGES = (1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0)
_RUNS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_STEPS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)

# Whether there is anything to say.
BUILD = _gauge("build_info", "1, for the release that reads these metrics.", "version", "pipeline_version")
DATABASE_UP = _gauge("database_up", "Whether Dagster's storage could be read; without it most metrics are missing.")
STORE_UP = _gauge("store_up", "Whether a store could be read: published, archive.", "store")
READ_SECONDS = _gauge("read_duration_seconds", "How long it took to read a part of the metrics.", "part")
READ_AT = _gauge("read_timestamp_seconds", "When a part of the metrics was read.", "part")

# What is live, by its manifests.
PUBLISHED = _gauge("published", "1 where something of the feed is published, 0 where nothing ever was.", *_FEED)
PUBLISHED_AT = _gauge("last_publication_timestamp_seconds", "When what is live was published.", *_FEED)
FETCHED_AT = _gauge("live_fetched_timestamp_seconds", "When the newest version it was made from was fetched.", *_FEED)
HEADER_AT = _gauge("live_header_timestamp_seconds", "Header timestamp of the realtime feed that is live.", *_FEED)
ENTITIES = _gauge("live_entities", "Entities of the realtime feed that is live.", *_FEED)
BYTES = _gauge("live_bytes", "Size of the zip or protobuf that is live.", *_FEED)
OLD_AFTER = _gauge("old_after_seconds", "Age from which the agency warns of what is live.", *_FEED)
STALE_AFTER = _gauge("stale_after_seconds", "Age from which the agency calls what is live stale.", *_FEED)

# Asking the vendor, by the sensors' own counts.
FETCHES = _counter(
    "fetches",
    "Requests of the vendor by what they gave: new, unchanged, older, could_not_tell with the reason. Begins anew "
    "where somebody resets the sensor's cursor.",
    *(*_FEED, "outcome", "reason"),
)
FAILURES_IN_ROW = _gauge("fetch_failures_in_row", "Requests since the last one that could tell.", *_FEED)
UNMOVED = _gauge("vendor_unmoved_answers", "Answers since the vendor's realtime feed moved.", *_FEED)

# What runs did.
RUNS = _counter("runs", "Runs that ended, by status: success, failure, canceled.", *_PIPELINE, "status")
RUN_SECONDS = Metric("run_duration_seconds", Kind.HISTOGRAM, "From start to end of a run.", _PIPELINE, _RUNS)
OP_SECONDS = Metric(
    "op_duration_seconds",
    Kind.HISTOGRAM,
    "Duration of a step of Dagster, an op, that ended well.",
    (*_PIPELINE, "op"),
    _RUNS,
)
STEP_SECONDS = Metric(
    "step_duration_seconds",
    Kind.HISTOGRAM,
    "Duration of a step of the agency's list.",
    (*_PIPELINE, "step"),
    _STEPS,
)
OPS_FAILED = _counter("op_failures", "Steps of Dagster, ops, that failed.", *_PIPELINE, "op")
CHECKS_FAILED = _counter(
    "check_failures",
    "Checks of runs that failed; an error has stopped a publication, a warning has not.",
    *("agency", "environment", "asset", "check", "severity"),
)
PUBLICATIONS = _counter(
    "publications", "What became of what runs had to publish: published, unchanged, superseded.", *_FEED, "outcome"
)
AGE_AT_PUBLICATION = Metric(
    "publication_age_seconds",
    Kind.HISTOGRAM,
    "Age of a realtime feed as it was published, from its header timestamp.",
    _FEED,
    _AGES,
)
DETECTED_TO_PUBLISHED = Metric(
    "detected_to_published_seconds",
    Kind.HISTOGRAM,
    "From the fetch of a realtime version to its publication.",
    _FEED,
    _AGES,
)

# Work, and who does it.
IN_FLIGHT = _gauge("runs_in_flight", "Runs that have not ended, by status.", *_PIPELINE, "status")
OLDEST_IN_FLIGHT = _gauge("oldest_run_in_flight_timestamp_seconds", "When the oldest of them was asked for.")
POOL_SLOTS = _gauge("pool_slots", "Steps that a pool lets run at a time.", "pool")
POOL_USED = _gauge("pool_slots_used", "Steps of a pool that run.", "pool")
POOL_WAITING = _gauge("pool_steps_waiting", "Steps that wait for a pool.", "pool")
HEARTBEAT = _gauge("daemon_heartbeat_timestamp_seconds", "When a daemon last said it is alive; 0: never.", "daemon")
TICKS = _counter("ticks", "Ticks that ended, by status: success, skipped, failure.", "instigator", "type", "status")
RUNNING = _gauge("instigator_running", "Whether a sensor or schedule is switched on.", "instigator", "type")
ALERTS_OPEN = _gauge("alerts_open", "Problems that the alert sensors have open.", "severity")
ALERTS_WAITING = _gauge("alerts_waiting", "Notices that no destination has taken yet.", "destination")

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
BY_NAME = {metric.name: metric for metric in ALL}
