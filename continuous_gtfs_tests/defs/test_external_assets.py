"""The checks of a vendor's feed when a person runs them: one look at the vendor, now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from dagster import AssetCheckKey, AssetCheckResult, Definitions

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.external_assets import vendor_answers_checks, vendor_feed_moves_checks, vendor_feed_spec
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.simulator.running import TOKENS, RunningSimulator, serve_in_thread

VP = "vehicle_positions"


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with serve_in_thread(realtime_every_s=None) as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(vendor: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIMS_PRODUCTION_URL", f"{vendor.url}/production")
    monkeypatch.setenv("CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS", "127.0.0.1")
    monkeypatch.setenv("PIMS_PRODUCTION_TOKEN", TOKENS["production"])
    vendor.control("DELETE", "faults")


def source_of(bench: Bench) -> FeedSource:
    return next(source for source in bench.agency.feeds if source.feed_id == f"production/{VP}")


def moves(bench: Bench, source: FeedSource | None = None) -> AssetCheckResult:
    (check,) = vendor_feed_moves_checks([source or source_of(bench)])
    result = check(artifacts=bench.artifacts, vendor_access=VendorAccess())
    assert isinstance(result, AssetCheckResult)
    return result


def test_a_feed_that_was_never_archived_moves(bench: Bench) -> None:
    assert moves(bench).passed


def test_a_feed_that_sends_what_was_archived_long_ago_stands_still(bench: Bench, vendor: RunningSimulator) -> None:
    body = vendor.get("production", VP).content
    bench.archive("production", VP, body, datetime.now(UTC) - timedelta(minutes=10))
    told = moves(bench)
    assert not told.passed
    assert "the same for 6" in str(told.description)
    vendor.control("POST", "realtime", edition="production").raise_for_status()
    assert moves(bench).passed


def test_what_could_not_be_told_is_no_movement(bench: Bench, vendor: RunningSimulator) -> None:
    vendor.set_fault("production", VP, "http_500", count=1)
    assert "server_error" in str(moves(bench).description)
    vendor.set_fault("production", VP, "garbage", count=1)
    told = moves(bench)
    assert not told.passed
    assert "could not tell" in str(told.description)


def test_every_realtime_feed_has_both_checks_and_a_schedule_only_one(bench: Bench) -> None:
    checks = [*vendor_answers_checks(bench.agency.feeds), *vendor_feed_moves_checks(bench.agency.feeds)]
    specs = [vendor_feed_spec(source, bench.agency.realtime_freshness, None) for source in bench.agency.feeds]
    graph = Definitions(
        assets=specs,
        asset_checks=checks,
        resources={"artifacts": bench.artifacts, "vendor_access": VendorAccess()},
    ).resolve_asset_graph()
    told = {
        feed: {key.name for key in graph.asset_check_keys if key.asset_key == keys.pims_key("qa", feed)}
        for feed in (VP, "schedule")
    }
    assert told[VP] == {names.VENDOR_ANSWERS_CHECK, names.VENDOR_FEED_MOVES_CHECK}
    assert told["schedule"] == {names.VENDOR_ANSWERS_CHECK}


def test_the_threshold_stands_in_the_description_of_the_check(bench: Bench) -> None:
    source = replace(source_of(bench), frozen_after_polls=7, poll_every_s=10)
    (check,) = vendor_feed_moves_checks([source])
    key = AssetCheckKey(keys.pims_key("production", VP), names.VENDOR_FEED_MOVES_CHECK)
    assert "in 7 answers and for 70 s" in str(check.get_spec_for_check_key(key).description)
