"""The difference to what is published: shown on its asset, kept beside the version, never in publication's way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster import AssetCheckSeverity, Definitions, ExecuteInProcessResult

from continuous_gtfs import names
from continuous_gtfs.definitions.schedule import build_definitions
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.defs.schedule_diff import COMPARED_CHECK, Compare, Comparison, Side, compare_feeds
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.defs.conftest import Bench, failures_of

JOB = "schedule_production"
NAME = names.schedule_publication("production")
TODAY = datetime.now(UTC).date()
DIFF = keys.feed_diff_key("production")


def location(bench: Bench, compare: Compare = compare_feeds) -> Definitions:
    return build_definitions(
        agency=bench.agency,
        steps=(),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
        compare=compare,
    )


def feed(name: str = "Mill Street") -> bytes:
    files = small_feed_files(first_date=TODAY - timedelta(days=7), last_date=TODAY + timedelta(days=60))
    return feed_zip(files | {"stops.txt": files["stops.txt"].replace("Mill Street", name)})


def run(bench: Bench, body: bytes, compare: Compare = compare_feeds) -> ExecuteInProcessResult:
    version = bench.archive("production", "schedule", body)
    return bench.run(location(bench, compare), JOB, partition_key=version.version_id)


def shown(result: ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the asset, by name."""
    (event,) = [one for one in result.get_asset_materialization_events() if one.asset_key == DIFF]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_first_version_is_compared_with_nothing(bench: Bench) -> None:
    result = run(bench, feed())
    assert result.success, failures_of(result)
    assert shown(result)["outcome"] == "nothing is published yet"


def test_what_differs_is_shown_and_kept_beside_the_version(bench: Bench) -> None:
    assert run(bench, feed()).success
    published = bench.live(NAME)
    result = run(bench, feed("Flour Street"))
    assert result.success, failures_of(result)
    metadata = shown(result)
    assert published is not None
    assert (metadata["outcome"], metadata["against"]) == ("different", published.label)
    assert "stops" in metadata["diff"]
    assert "data:image/png" in metadata["diff"]
    kept = {Path(value).name: Path(value) for name, value in metadata.items() if name.startswith("feed_diff_")}
    assert sorted(kept) == [
        "feed_diff.gtfs_diff_v2.json",
        "feed_diff.json",
        "feed_diff.stops_map.png",
        "feed_diff.trips_by_date.png",
        "feed_diff.txt",
    ]
    document = json.loads(kept["feed_diff.json"].read_text())
    assert [file["file"] for file in document["files"]] == ["stops.txt"]
    form = json.loads(kept["feed_diff.gtfs_diff_v2.json"].read_text())
    assert published.label in form["metadata"]["base_feed"]["source"]
    assert kept["feed_diff.txt"].read_text().splitlines()[0] == metadata["summary"]
    assert kept["feed_diff.stops_map.png"].read_bytes().startswith(b"\x89PNG")


def test_it_is_made_before_publication_moves_and_says_same_after_it(bench: Bench) -> None:
    assert run(bench, feed()).success
    assert shown(run(bench, feed("Flour Street")))["outcome"] == "different"
    assert shown(run(bench, feed("Flour Street")))["outcome"] == "same"
    published = location(bench).resolve_asset_graph().get(keys.published_schedule_key("production"))
    assert DIFF in published.parent_keys


def test_a_comparison_that_fails_is_told_loudly_and_the_feed_is_published(bench: Bench) -> None:
    def broken(before: Side, after: Side) -> Comparison:
        raise ZeroDivisionError("a bug of the comparison")

    assert run(bench, feed()).success
    result = run(bench, feed("Flour Street"), broken)
    assert result.success, failures_of(result)
    live = bench.live(NAME)
    assert live is not None
    assert live.facts["run_id"] == result.run_id
    assert shown(result)["outcome"] == "failed"
    assert shown(result)["error"] == "ZeroDivisionError: a bug of the comparison"
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == COMPARED_CHECK]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.ERROR)
