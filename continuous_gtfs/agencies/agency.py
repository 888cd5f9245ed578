"""What an agency declares; how its modules are found by name is in ``loading``.

An agency is a package or a folder with three modules, each imported only by those who need it, so that the realtime
location never pays for what only the schedule needs:

    feeds.py       AGENCY: an ``Agency``
    schedule.py    STEPS: the ordered steps of the schedule pipeline
    realtime.py    STEPS: the ordered steps of the realtime pipeline
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from continuous_gtfs.agencies.loading import DEFAULT_AGENCY, load_module, split_key
from continuous_gtfs.errors import ConfigurationError, StepDefinitionError
from continuous_gtfs.gtfs.checks.thresholds import ScheduleThresholds
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds
from continuous_gtfs.realtime.sampling import ValidationSampling

__all__ = [
    "DEFAULT_AGENCY",
    "Agency",
    "Freshness",
    "RealtimeThresholds",
    "ScheduleThresholds",
    "ValidationSampling",
    "load_agency",
    "load_steps",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old the newest version of something may be before people are told.

    Attributes:
        warn_after: The asset is shown as degraded; at least 60 s.
        fail_after: The asset is shown as stale; longer than ``warn_after``.
    """

    warn_after: timedelta
    fail_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """One agency: its feeds and the numbers by which they are judged.

    Attributes:
        name: Lower-case identifier, as in the folder's name.
        title: As people write it.
        timezone: IANA name; service days are taken from it.
        country_code: ISO 3166 alpha-2, for rules that depend on it (phone numbers).
        feeds: Every feed of every environment.
        schedule_freshness: For the vendor's schedule and what is published from it.
        realtime_freshness: For the vendor's realtime feeds and what is published from them.
        schedule: Thresholds of the schedule's gates.
        realtime: Thresholds of the realtime guards.
        realtime_feeds: By feed, the thresholds that hold for it instead: alerts that keep their header for an hour.
        realtime_validation: How often the full rule set is asked, and what of it the agency lives with.
        keep_schedule_versions: How many published schedules stay reachable at their own URL.
        keep_realtime_versions: The same, for each realtime feed.
        realtime_cache_control: What consumers and caches on the way are told of the stable realtime URLs. A feed
            that changes every 20 s loses updates in a cache that keeps it longer than a second or two.
        key: By which it is told from other agencies of one deployment; comes from ``CONTINUOUS_GTFS_AGENCY``.
    """

    name: str
    title: str
    timezone: str
    country_code: str | None = None
    feeds: tuple[FeedSource, ...]
    schedule_freshness: Freshness
    realtime_freshness: Freshness
    schedule: ScheduleThresholds = field(default_factory=ScheduleThresholds)
    realtime: RealtimeThresholds = field(default_factory=RealtimeThresholds)
    realtime_feeds: Mapping[str, RealtimeThresholds] = field(default_factory=dict)
    realtime_validation: ValidationSampling = field(default_factory=ValidationSampling)
    keep_schedule_versions: int = 20
    keep_realtime_versions: int = 30
    realtime_cache_control: str = "public, max-age=1"
    key: str | None = None

    def __post_init__(self) -> None:
        seen = [source.feed_id for source in self.feeds]
        repeated = sorted({feed_id for feed_id in seen if seen.count(feed_id) > 1})
        if repeated:
            raise ConfigurationError(f"agency {self.name} declares {', '.join(repeated)} more than once")
        for environment in self.environments:
            realtime = self.sources(environment, FeedKind.REALTIME)
            if realtime and not any(source.is_published for source in realtime):
                raise ConfigurationError(f"agency {self.name} publishes none of the realtime feeds of {environment}")
        known = {source.feed for source in self.feeds if source.kind is FeedKind.REALTIME}
        if unknown := sorted(self.realtime_feeds.keys() - known):
            raise ConfigurationError(
                f"agency {self.name}: realtime_feeds names {', '.join(unknown)}; its realtime feeds are "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        if not self.realtime_cache_control.isprintable():
            raise ConfigurationError(f"agency {self.name}: realtime_cache_control is no header of one line")
        ZoneInfo(self.timezone)

    @property
    def environments(self) -> tuple[str, ...]:
        """Environments in the order in which their feeds are declared."""
        return tuple(dict.fromkeys(source.environment for source in self.feeds))

    def thresholds_of(self, feed: str) -> RealtimeThresholds:
        """The numbers by which one realtime feed is judged."""
        return self.realtime_feeds.get(feed, self.realtime)

    def sources(self, environment: str, kind: FeedKind) -> tuple[FeedSource, ...]:
        """The environment's feeds of one kind, in declared order."""
        return tuple(s for s in self.feeds if s.environment == environment and s.kind is kind)


def load_agency(name: str) -> Agency:
    """The agency in the package or folder ``name``, see ``load_module``.

    With a key (``capital=agencies.capital``) its environments are ``capital_production`` and so on. Everything that one
    agency could share with another by accident is named by its environment: asset keys, jobs, sensors, tags, archived
    and published objects.

    Raises:
        ConfigurationError: There is none, or its ``feeds`` module declares no ``AGENCY``.
    """
    module = load_module(name, "feeds")
    agency = getattr(module, "AGENCY", None)
    if not isinstance(agency, Agency):
        raise ConfigurationError(f"{module.__file__} declares no AGENCY (an Agency); see continuous_gtfs.agencies")
    key, _ = split_key(name)
    return agency if key is None else _keyed(agency, key)


def _keyed(agency: Agency, key: str) -> Agency:
    return replace(
        agency,
        key=key,
        feeds=tuple(replace(source, environment=f"{key}_{source.environment}") for source in agency.feeds),
    )


def load_steps(name: str, pipeline: str) -> tuple[Step[Any], ...]:
    """The ordered steps of one pipeline (``schedule`` or ``realtime``) of the agency ``name``, see ``load_module``.

    Raises:
        ConfigurationError: No such module, importing it failed, or it has no list ``STEPS``.
        StepDefinitionError: The list holds something that is no step.
    """
    module = load_module(name, pipeline)
    if not hasattr(module, "STEPS"):
        raise ConfigurationError(f"{module.__file__} declares no list STEPS (it may be empty)")
    steps = module.STEPS
    if not isinstance(steps, list | tuple):
        raise ConfigurationError(f"{module.__file__}: STEPS is a {type(steps).__name__}, not a list (it may be empty)")
    try:
        return check_steps(steps)
    except StepDefinitionError as error:
        raise StepDefinitionError(f"{module.__file__}: STEPS: {error}") from error
