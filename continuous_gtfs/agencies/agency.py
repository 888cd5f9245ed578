"""What an agency declares, and how a declared agency is found by name.

An agency is a package with three modules, each imported only by those who need it, so that the realtime
location never pays for what only the schedule needs:

    feeds.py       AGENCY: an ``Agency``
    schedule.py    STEPS: the ordered steps of the schedule pipeline
    realtime.py    STEPS: the ordered steps of the realtime pipeline
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import Step

DEFAULT_AGENCY = "continuous_gtfs.agencies.sound_transit"


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
class RealtimeThresholds:
    """The numbers behind the realtime guards.

    Attributes:
        header_age_s: A feed whose header timestamp is older, in seconds, is not published.
    """

    header_age_s: float = 90


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
        realtime: Thresholds of the realtime guards.
        keep_schedule_versions: How many published schedules stay reachable at their own URL.
        keep_realtime_versions: The same, for each realtime feed.
    """

    name: str
    title: str
    timezone: str
    country_code: str | None = None
    feeds: tuple[FeedSource, ...]
    schedule_freshness: Freshness
    realtime_freshness: Freshness
    realtime: RealtimeThresholds = RealtimeThresholds()
    keep_schedule_versions: int = 20
    keep_realtime_versions: int = 30

    def __post_init__(self) -> None:
        seen = [source.feed_id for source in self.feeds]
        repeated = sorted({feed_id for feed_id in seen if seen.count(feed_id) > 1})
        if repeated:
            raise ConfigurationError(f"agency {self.name} declares {', '.join(repeated)} more than once")
        ZoneInfo(self.timezone)

    @property
    def environments(self) -> tuple[str, ...]:
        """Environments in the order in which their feeds are declared."""
        return tuple(dict.fromkeys(source.environment for source in self.feeds))

    def sources(self, environment: str, kind: FeedKind) -> tuple[FeedSource, ...]:
        """The environment's feeds of one kind, in declared order."""
        return tuple(s for s in self.feeds if s.environment == environment and s.kind is kind)


def load_agency(name: str) -> Agency:
    """The agency in the package ``name`` (dotted).

    Raises:
        ConfigurationError: There is no such package, or its ``feeds`` module declares no ``AGENCY``.
    """
    agency = getattr(_module(name, "feeds"), "AGENCY", None)
    if not isinstance(agency, Agency):
        raise ConfigurationError(f"{name}.feeds declares no AGENCY (an Agency); see continuous_gtfs.agencies")
    return agency


def load_steps(name: str, pipeline: str) -> tuple[Step[Any], ...]:
    """The ordered steps of one pipeline (``schedule`` or ``realtime``) of the agency package ``name``.

    Raises:
        ConfigurationError: No such module, or it has no list ``STEPS``.
        StepDefinitionError: The list holds something that is no step.
    """
    steps = getattr(_module(name, pipeline), "STEPS", None)
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ConfigurationError(f"{name}.{pipeline} declares no list STEPS (it may be empty)")
    return check_steps(steps)


def _module(name: str, part: str) -> ModuleType:
    wanted = f"{name}.{part}"
    try:
        return importlib.import_module(wanted)
    except SyntaxError as error:
        raise ConfigurationError(
            f"{error.filename}, line {error.lineno}: {error.msg}: mend the agency's module"
        ) from error
    except ModuleNotFoundError as error:
        # A missing import inside an existing agency module is a bug there, not an unknown agency.
        if error.name is None or not (wanted == error.name or wanted.startswith(error.name + ".")):
            raise
        raise ConfigurationError(
            f"unknown agency {name!r}: there is no module {error.name}; set CONTINUOUS_GTFS_AGENCY to a package "
            f"with feeds.py, schedule.py and realtime.py, e.g. {DEFAULT_AGENCY}"
        ) from error
