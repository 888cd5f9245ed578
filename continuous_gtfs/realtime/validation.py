"""The full rule set of GTFS-Realtime, by ``gtfs-rt-validator``, behind an interface of our own.

The package is young: nothing else of ours imports it, and it is imported late, by what validates. Its rules are those
of MobilityData's validator (E, W), of the specification's text (S) and of the best practices (P).

Reading a schedule takes it minutes where a message takes a second, so what it reads is prepared once a version and kept
as bytes. Not here: where they are kept (``artifacts.validations``), and when a sample is taken (``defs``).
"""

from __future__ import annotations

import enum
import gc
import io
import pickle
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from continuous_gtfs.errors import FeedStructureError, UnreadableMessageError
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS
from continuous_gtfs.realtime.guards.thresholds import ALERTS

ERROR = "ERROR"
SAMPLES_KEPT = 50

_PACKAGE = "gtfs_rt_validator"
# Rules that compare the feeds of one moment find them by these roles.
_ROLES = {TRIP_UPDATES: "tu", VEHICLE_POSITIONS: "vp", ALERTS: "sa"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """What one rule found.

    Attributes:
        rule: ``E003``.
        severity: ``ERROR`` or ``WARNING``.
        title: What the rule asks, one sentence.
        count: How often it is broken.
        samples: Feed, place in the message and what is wrong there; at most ``SAMPLES_KEPT``.
    """

    rule: str
    severity: str
    title: str
    count: int
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeReport:
    """What the validator says of one moment's feeds.

    Attributes:
        validator: Name and version.
        at: The time that ages were reckoned from.
        messages: How many feeds were judged.
        rules: The rules that were asked.
        findings: Errors first, then by count.
    """

    validator: str
    at: datetime
    messages: int
    rules: tuple[str, ...]
    findings: tuple[RuleFinding, ...]

    def errors(self, *, ignored: Collection[str] = ()) -> tuple[RuleFinding, ...]:
        """The findings of severity ERROR, but for rules that the agency ignores."""
        return tuple(each for each in self.findings if each.severity == ERROR and each.rule not in ignored)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "at": self.at.isoformat(),
            "rules": list(self.rules),
            "findings": [asdict(finding) | {"samples": list(finding.samples)} for finding in self.findings],
        }


class PreparedSchedule:
    """A schedule as the validator has read it. Made with ``prepare_schedule`` or ``from_bytes``."""

    def __init__(self, prepared: Any) -> None:
        self._prepared = prepared

    @property
    def prepared(self) -> Any:
        """The validator's own object."""
        return self._prepared

    def to_bytes(self) -> bytes:
        """For ``from_bytes`` of the same version of the validator."""
        return zlib.compress(pickle.dumps(self._prepared, protocol=5), level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> PreparedSchedule:
        """What ``to_bytes`` wrote. Classes of the validator are made from it and no others, whoever wrote the bytes.

        Raises:
            FeedStructureError: The bytes are something else, or of another version: prepare the schedule anew.
        """
        from gtfs_rt_validator.api import PreparedFeed

        # A million small objects: looking for garbage among them takes six times as long as making them.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            prepared = _Unpickler(io.BytesIO(zlib.decompress(data))).load()
        except Exception as error:  # What a damaged pickle raises is anything.
            raise FeedStructureError(f"not a prepared schedule: {type(error).__name__}: {error}") from None
        finally:
            if was_enabled:
                gc.enable()
        if not isinstance(prepared, PreparedFeed):
            raise FeedStructureError(f"not a prepared schedule but a {type(prepared).__name__}")
        return cls(prepared)


def validator_version() -> str:
    """Name and version of the validator, as reports and prepared schedules carry it."""
    from gtfs_rt_validator.api import VERSION

    return f"{_PACKAGE} {VERSION}"


def prepare_schedule(path: Path) -> PreparedSchedule:
    """Read a schedule for the validator: half a minute for 435,000 stop times, and some 100 MB.

    Raises:
        FeedStructureError: The validator cannot use the schedule.
    """
    from gtfs_rt_validator.api import CompatAbort, Mode, StaticLoadError, prepare_feed

    try:
        return PreparedSchedule(prepare_feed(path, mode=Mode.MODERN))
    except (StaticLoadError, CompatAbort, OSError) as error:
        raise FeedStructureError(f"{validator_version()} cannot read the schedule: {error}") from error


def validate_messages(
    schedule: PreparedSchedule, feeds: Mapping[str, Sequence[bytes]], *, at: datetime
) -> RealtimeReport:
    """What each rule finds in the feeds of one moment.

    Args:
        schedule: What trips and stops are looked up in.
        feeds: By name, oldest message first. The last is judged; one before it is what rules on the course of time
            compare it with.
        at: From when ages are reckoned.

    Raises:
        UnreadableMessageError: A message to be judged is none.
    """
    from gtfs_rt_validator.api import Inputs, MessageResult, Mode, Request, validate
    from gtfs_rt_validator.runner import Source

    def source(feed: str, name: str, body: bytes) -> Any:
        return Source(name, _ROLES.get(feed, feed), None, lambda: body)

    before = tuple(
        source(feed, f"{feed} before", bodies[-2])
        for feed, bodies in feeds.items()
        # The validator leaves out a message that is the one before it once more.
        if len(bodies) > 1 and bodies[-2] != bodies[-1]
    )
    judged = tuple(source(feed, feed, bodies[-1]) for feed, bodies in feeds.items())
    results: list[MessageResult] = []
    outcome = validate(
        Request(
            mode=Mode.MODERN,
            gtfs=schedule.prepared,
            inputs=Inputs((*((before,) if before else ()), judged), directory_replay=False),
            at=at,
        ),
        sink=results.append,
    )
    of_interest = [result for result in results if result.source.name in feeds]
    if missing := sorted(feeds.keys() - {result.source.name for result in of_interest}):
        raise UnreadableMessageError(f"{validator_version()} cannot read {', '.join(missing)}")
    return RealtimeReport(
        validator=validator_version(),
        at=at,
        messages=len(of_interest),
        rules=tuple(outcome.run.rules_run),
        findings=_findings(of_interest),
    )


def _findings(results: Sequence[Any]) -> tuple[RuleFinding, ...]:
    from gtfs_rt_validator.rules.registry import severity_for

    found = [
        RuleFinding(
            rule=rule,
            severity=str(severity_for(rule)),
            title=_title(rule),
            count=sum(result.notices.count_for(rule) for result in results),
            samples=tuple(
                _told(result.source.name, rule, occurrence)
                for result in results
                for occurrence in result.notices.samples_for(rule)[:SAMPLES_KEPT]
            )[:SAMPLES_KEPT],
        )
        for rule in sorted({rule for result in results for rule in result.notices.rule_ids()})
    ]
    return tuple(sorted(found, key=lambda finding: (finding.severity != ERROR, -finding.count, finding.rule)))


def _title(rule: str) -> str:
    """MobilityData's title, or the sentence of the specification or the practices that the rule is taken from."""
    from gtfs_rt_validator.report import manifest
    from gtfs_rt_validator.rules.registry import Registry

    registered = Registry.modern().get(rule)
    source = registered.source if registered else None
    return source if source else str(manifest.rule(rule).title)


def _told(feed: str, rule: str, occurrence: Any) -> str:
    """Feed, place and the two halves of the message, of which the validator keeps the second with the rule."""
    from gtfs_rt_validator.report import manifest

    suffix = manifest.rule(rule).occurrence_suffix if rule in manifest.all_ids() else ""
    place = occurrence.context.get("entityPath", "")
    return f"{feed} {place}: {occurrence.prefix} {suffix}".strip()


def _member_of(enumeration: Any, name: str) -> Any:
    if not isinstance(enumeration, enum.EnumType):
        raise pickle.UnpicklingError(f"an attribute of {enumeration!r} has no place in a prepared schedule")
    return enumeration[name]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Classes of the validator alone: what its modules have imported reaches all of Python."""
        if (module, name) == ("builtins", "getattr"):
            # By this the first releases of Python 3.11 name the member of an enumeration.
            return _member_of
        found = super().find_class(module, name) if module.partition(".")[0] == _PACKAGE else None
        if not isinstance(found, type) or found.__module__.partition(".")[0] != _PACKAGE:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a prepared schedule")
        return found
