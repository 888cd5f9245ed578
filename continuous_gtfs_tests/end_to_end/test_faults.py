"""Each fault of the vendor leaves the last good feed published, is visible, and passes when the vendor recovers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from dagster import AssetKey, DagsterRunStatus

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_guards import GUARDS_CHECK
from continuous_gtfs.realtime.guards.entities import HAS_ENTITIES
from continuous_gtfs.realtime.guards.header import AGE
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end

VENDOR_FAULTS = {
    "http_500": "server_error",
    "http_503": "server_error",
    "http_429": "too_many_requests",
    "hang": "timeout",
    "slow_body": "timeout",
    "truncated_body": "truncated",
    "html_200": "html_instead_of_feed",
    "empty_body": "empty_body",
    "garbage": "unreadable",
    "redirect": "redirect_refused",
}
# Several faults at once, each at a feed of its own: they must not disturb each other either.
REALTIME_FEEDS = [
    (environment, feed) for environment in ("production", "qa") for feed in ("vehicle_positions", "trip_updates")
]
GROUPS = [list(VENDOR_FAULTS)[i : i + 4] for i in range(0, len(VENDOR_FAULTS), 4)]


def publication(environment: str, feed: str) -> str:
    if feed == "schedule":
        return names.schedule_publication(environment)
    return names.realtime_publication(environment, feed)


@pytest.mark.parametrize("kinds", GROUPS, ids="+".join)
def test_a_fault_of_a_realtime_feed_keeps_the_last_good_one_and_shows_on_the_asset(
    deployment: Deployment, kinds: Sequence[str]
) -> None:
    for environment, feed in REALTIME_FEEDS:
        deployment.wait_for_newer(publication(environment, feed), None)
    targets = list(zip(kinds, REALTIME_FEEDS, strict=False))
    counted = {kind: deployment.outcomes(*target) for kind, target in targets}
    for kind, (environment, feed) in targets:
        deployment.set_fault(environment, feed, kind, **({"retry_after": 1} if kind == "http_429" else {}))
    for kind, (environment, feed) in targets:
        outcome = f"could_not_tell:{VENDOR_FAULTS[kind]}"
        before = counted[kind].get(outcome, 0)
        wait_for(
            lambda o=outcome, b=before, e=environment, f=feed: deployment.outcomes(e, f).get(o, 0) >= b + 2,
            what=f"{kind} counted as {outcome} for {environment}/{feed}",
        )
        key = keys.pims_key(environment, feed)
        wait_for(
            lambda k=key: deployment.latest_check(k, names.VENDOR_ANSWERS_CHECK) is False,
            what=f"the failing check of {environment}/{feed}",
        )
        assert len(deployment.realtime_feed(environment, feed).entity) >= 4, "the last good feed is gone"
    stuck = {target: deployment.manifest(publication(*target)) for _, target in targets}
    deployment.clear_faults()
    for _, (environment, feed) in targets:
        deployment.wait_for_newer(publication(environment, feed), stuck[environment, feed])
        key = keys.pims_key(environment, feed)
        wait_for(
            lambda k=key: deployment.latest_check(k, names.VENDOR_ANSWERS_CHECK) is True,
            what=f"{environment}/{feed} shown as recovered",
        )


@pytest.mark.parametrize("kind", ["html_200", "truncated_body", "garbage", "zip_without_stops"])
def test_a_fault_of_the_schedule_keeps_the_last_good_one(deployment: Deployment, kind: str) -> None:
    name = names.schedule_publication("qa")
    good = deployment.wait_for_newer(name, None)
    partitions = deployment.instance.get_dynamic_partitions("schedule_qa_versions")
    deployment.set_fault("qa", "schedule", kind)
    wait_for(
        lambda: deployment.latest_check(keys.pims_key("qa", "schedule"), names.VENDOR_ANSWERS_CHECK) is False,
        what=f"{kind} shown as failing",
    )
    now = deployment.manifest(name)
    assert now is not None
    assert now.label == good.label
    assert deployment.instance.get_dynamic_partitions("schedule_qa_versions") == partitions
    deployment.clear_faults()
    wait_for(
        lambda: deployment.latest_check(keys.pims_key("qa", "schedule"), names.VENDOR_ANSWERS_CHECK) is True,
        what="the schedule shown as recovered",
    )


def failed_guards(deployment: Deployment, key: AssetKey) -> str | None:
    """The guards that the newest judged version failed by; empty where it passed, None where none was judged."""
    evaluation = deployment.latest_evaluation(key, GUARDS_CHECK)
    if evaluation is None:
        return None
    failed = evaluation.metadata.get("failed")
    return str(failed.value) if failed else ""


@pytest.mark.parametrize(("kind", "guard"), [("header_only", HAS_ENTITIES), ("frozen_timestamp", AGE)])
def test_a_readable_feed_that_must_not_go_out_fails_its_run_and_stays_in(
    deployment: Deployment, kind: str, guard: str
) -> None:
    environment, feed = "production", "vehicle_positions"
    deployment.wait_for_newer(names.schedule_publication(environment), None)
    name = publication(environment, feed)
    deployment.wait_for_newer(name, None)
    key = keys.published_realtime_key(environment, feed)
    deployment.set_fault(environment, feed, kind)
    wait_for(lambda: guard in (failed_guards(deployment, key) or ""), what=f"{guard} failing")
    stuck = deployment.manifest(name)
    assert stuck is not None
    assert len(deployment.realtime_feed(environment, feed).entity) >= 4
    wait_for(
        lambda: any(run.status is DagsterRunStatus.FAILURE for run in deployment.runs("realtime", environment)),
        what="the failed run",
    )
    sibling = publication(environment, "trip_updates")
    deployment.wait_for_newer(sibling, deployment.manifest(sibling))
    deployment.clear_faults()
    deployment.wait_for_newer(name, stuck)
    wait_for(lambda: failed_guards(deployment, key) == "", what=f"{guard} passing again")
