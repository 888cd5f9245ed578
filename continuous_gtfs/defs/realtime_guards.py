"""The guards as one blocking check inside each published asset: what they are held against, what an operator accepts.

Not here: what each guard measures (``realtime.guards``). One check for all of them, with a row for each in its table,
since every check costs three rows of Dagster's event log in every run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    DagsterRun,
)

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import Manifest, Order, is_older
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_transform import Transformed
from continuous_gtfs.defs.tables import Record, table
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.gtfs.checks.accept import accepted_names
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.builtin.combining import sources_of
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.judging import ACCEPTABLE, GUARDS, LiveFeed, judge_feed
from continuous_gtfs.realtime.guards.result import GuardResult

GUARDS_CHECK = "guards_hold"

_COLUMNS = {
    "guard": "string",
    "result": "string",
    "value": "float",
    "threshold": "float",
    "unit": "string",
    "message": "string",
}


def guards_spec(environment: str, feed: str) -> AssetCheckSpec:
    """The blocking check of one published feed."""
    return AssetCheckSpec(
        GUARDS_CHECK,
        asset=keys.published_realtime_key(environment, feed),
        blocking=True,
        description=f"Each of these claims holds, by the numbers in the agency's feeds.py: {', '.join(GUARDS)}.",
    )


def operator_accepts(run: DagsterRun) -> frozenset[str]:
    """The guards whose failure is a warning in this run, by its tag ``continuous_gtfs/accept``.

    Raises:
        ConfigurationError: They are not named one by one, or what is named cannot be accepted.
    """
    accepted = accepted_names(run.tags.get(names.ACCEPT_TAG, ""))
    if refused := sorted(accepted - ACCEPTABLE):
        raise ConfigurationError(
            f"{', '.join(refused)} cannot be accepted in a realtime run; what can is {', '.join(sorted(ACCEPTABLE))}"
        )
    return accepted


def is_late(order: Order, live: Manifest | None) -> bool:
    """Whether a version was overtaken: what is live is newer and was fetched later.

    Older by its header and yet fetched later is another matter: then the vendor has gone back in time.
    """
    return live is not None and is_older(order, live.order) and is_older(order[1:], live.order[1:])


def judge(
    agency: Agency, steps: Sequence[Step[RealtimeFeeds]], transformed: Transformed, feed: str, live: Manifest | None
) -> list[GuardResult]:
    """What the guards say of one feed of a run, held against what is live."""
    return judge_feed(
        feed,
        transformed.feeds.message(feed),
        raw=transformed.raw[feed],
        sources=[transformed.raw[source] for source in sources_of(steps, feed) if source in transformed.raw],
        duplicates=transformed.duplicates[feed],
        live=None if live is None else _live_feed(live, feed),
        index=transformed.schedule.index,
        thresholds=agency.thresholds_of(feed),
        now=datetime.now(UTC),
    )


def blocking(guards: Sequence[GuardResult], accepts: Collection[str]) -> str:
    """The guards that fail and are not accepted, each with its name; empty where none does."""
    return _told(guard for guard in guards if not guard.passed and guard.guard not in accepts)


def accepted_facts(guards: Sequence[GuardResult], accepts: Collection[str]) -> dict[str, str]:
    """By guard what an operator accepted, and why it would have blocked."""
    return {guard.guard: guard.message for guard in guards if not guard.passed and guard.guard in accepts}


def check_result(
    environment: str, feed: str, guards: Sequence[GuardResult], accepts: Collection[str]
) -> AssetCheckResult:
    """The guards' results as Dagster shows them; accepted ones warn."""
    failed = [guard for guard in guards if not guard.passed]
    only_warns = bool(failed) and not blocking(guards, accepts)
    if not failed:
        description = f"all {len(guards)} guards hold"
    else:
        description = f"{'accepted by the operator: ' if only_warns else ''}{_told(failed)}"
    return AssetCheckResult(
        asset_key=keys.published_realtime_key(environment, feed),
        check_name=GUARDS_CHECK,
        passed=not failed,
        severity=AssetCheckSeverity.WARN if only_warns else AssetCheckSeverity.ERROR,
        description=description,
        metadata={
            "guards": table(_COLUMNS, [_record(guard, accepts) for guard in guards]),
            **({"failed": ", ".join(guard.guard for guard in failed)} if failed else {}),
        },
    )


def _live_feed(live: Manifest, feed: str) -> LiveFeed:
    timestamp = live.order[0]
    return LiveFeed(
        header_timestamp=int(timestamp) if timestamp and not isinstance(timestamp, str) else None,
        entities=live.facts.get("entities", {}).get(feed),
        made_timestamp=live.facts.get("header_timestamps", {}).get(feed),
    )


def _told(guards: Iterable[GuardResult]) -> str:
    return "; ".join(f"{guard.guard}: {guard.message}" for guard in guards)


def _record(guard: GuardResult, accepts: Collection[str]) -> Record:
    if guard.passed:
        result = "holds" if guard.value is not None else "not asked"
    else:
        result = "accepted" if guard.guard in accepts else "fails"
    return {
        "guard": guard.guard,
        "result": result,
        "value": "" if guard.value is None else guard.value,
        "threshold": "" if guard.threshold is None else guard.threshold,
        "unit": guard.unit,
        "message": guard.message,
    }
