"""What a schedule run publishes, and what it refuses to."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from dagster import Definitions, Failure, RetryRequested, build_input_context, build_output_context

from continuous_gtfs import names
from continuous_gtfs.agencies.sound_transit.schedule import STEPS
from continuous_gtfs.definitions.schedule import build_definitions
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.failures import SCHEDULE_RETRIES, failures_explained
from continuous_gtfs.defs.feeds_in_memory import FeedsInMemory
from continuous_gtfs.defs.published_schedule import read_published_schedule
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.defs.schedule_gates import TRIPS_CHECK, VALIDATION_CHECK
from continuous_gtfs.errors import ConfigurationError, StoreError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import RemoveRows, UpdateFields
from continuous_gtfs.gtfs.where import where
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import StepContext, step
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.defs.conftest import Bench, failures_of

JOB = "schedule_production"
NAME = names.schedule_publication("production")
TODAY = datetime.now(UTC).date()
RENAME = UpdateFields("agency.txt", where("agency_id", is_blank=False), {"agency_name": "Renamed"})


def location(bench: Bench, steps: list[object] | None = None) -> Definitions:
    return build_definitions(
        agency=bench.agency,
        steps=check_steps(STEPS if steps is None else steps),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )


def feed(version: str = "1", first_date: date = TODAY - timedelta(days=7), **replaced: str) -> bytes:
    files = small_feed_files(first_date=first_date, last_date=TODAY + timedelta(days=60), feed_version=version)
    return feed_zip(files | {f"{name}.txt": text for name, text in replaced.items()})


def without_stop(version: str) -> bytes:
    """A feed whose stop_times refer to a stop that stops.txt does not have."""
    files = small_feed_files(
        first_date=TODAY - timedelta(days=7), last_date=TODAY + timedelta(days=60), feed_version=version
    )
    header, first, *rest = files["stops.txt"].splitlines(keepends=True)
    assert first.split(",")[0] in files["stop_times.txt"]
    return feed_zip(files | {"stops.txt": "".join([header, *rest])})


def table(bench: Bench, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO((bench.published / f"{NAME}.zip").read_bytes())) as published:
        return published.read(name).decode()


def test_a_version_is_transformed_validated_and_published_with_a_manifest(bench: Bench) -> None:
    version = bench.archive("production", "schedule", feed())
    result = bench.run(location(bench, [RENAME]), JOB, partition_key=version.version_id)
    assert result.success
    assert "Renamed" in table(bench, "agency.txt")
    manifest = bench.live(NAME)
    assert manifest is not None
    assert manifest.facts["inputs"]["schedule"]["version_id"] == version.version_id
    assert list(manifest.facts["step_hashes"]) == ["update_fields_agency"]
    assert manifest.facts["run_id"] == result.run_id
    assert manifest.facts["validation"]["is_passed"] is True
    assert manifest.facts["zip_writer"].startswith("zlib-ng")
    schedule = read_published_schedule(bench.artifacts, "production")
    assert schedule.label == manifest.label
    assert schedule.index is not None
    assert schedule.index.stop_ids


def test_each_step_is_an_op_with_a_table_of_what_it_did(bench: Bench) -> None:
    version = bench.archive("production", "schedule", feed())
    result = bench.run(location(bench), JOB, partition_key=version.version_id)
    assert result.success
    ran = [str(event.step_key).rpartition(".")[2] for event in result.get_step_success_events()]
    names_of_steps = [one.name for one in check_steps(STEPS)]
    assert ran[: len(names_of_steps) + 2] == ["read_production_version", *names_of_steps, "store_transformed_feed"]
    output = next(e for e in result.all_events if e.is_successful_output and e.step_key.endswith(names_of_steps[0]))
    assert "steps" in output.step_output_data.metadata


def test_a_failed_step_publishes_nothing_and_the_last_good_feed_stays(bench: Bench) -> None:
    @step(files=["stops.txt"])
    def look_up_a_column_that_is_gone(feed: Feed) -> None:
        feed.table("stops.txt")["stop_colour"]

    good = bench.archive("production", "schedule", feed("1"))
    assert bench.run(location(bench, [RENAME]), JOB, partition_key=good.version_id).success
    newer = bench.archive("production", "schedule", feed("2"))
    result = bench.run(location(bench, [RENAME, look_up_a_column_that_is_gone]), JOB, partition_key=newer.version_id)
    assert not result.success
    assert "step look_up_a_column_that_is_gone failed: KeyError: 'stop_colour'" in failures_of(result)
    live = bench.live(NAME)
    assert live is not None
    assert live.facts["inputs"]["schedule"]["version_id"] == good.version_id


def test_an_error_that_the_steps_make_blocks_the_first_publication(bench: Bench) -> None:
    version = bench.archive("production", "schedule", feed())
    stop_id = feed_stop_id()
    broken = [RemoveRows("stops.txt", where("stop_id", equals=stop_id))]
    result = bench.run(location(bench, broken), JOB, partition_key=version.version_id)
    assert not result.success
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == VALIDATION_CHECK]
    assert not check.passed
    assert "foreign_key_violation" in str(check.description)
    assert bench.live(NAME) is None


def test_an_error_that_the_published_version_does_not_have_blocks_its_successor(bench: Bench) -> None:
    good = bench.archive("production", "schedule", feed("1"))
    assert bench.run(location(bench, []), JOB, partition_key=good.version_id).success
    worse = bench.archive("production", "schedule", without_stop("2"))
    assert not bench.run(location(bench, []), JOB, partition_key=worse.version_id).success
    live = bench.live(NAME)
    assert live is not None
    assert live.facts["inputs"]["schedule"]["version_id"] == good.version_id


def test_an_error_that_the_vendor_always_had_warns_and_goes_out(bench: Bench) -> None:
    first = bench.archive("production", "schedule", without_stop("1"))
    assert bench.run(location(bench, []), JOB, partition_key=first.version_id).success
    second = bench.archive("production", "schedule", without_stop("2"))
    assert bench.run(location(bench, []), JOB, partition_key=second.version_id).success
    live = bench.live(NAME)
    assert live is not None
    assert live.facts["validation"]["errors"]["foreign_key_violation"] >= 1


def test_a_version_that_passed_the_gate_once_passes_it_again_when_it_is_rerun(bench: Bench) -> None:
    flawed = bench.archive("production", "schedule", without_stop("1"))
    assert bench.run(location(bench, []), JOB, partition_key=flawed.version_id).success
    clean = bench.archive("production", "schedule", feed("2"))
    assert bench.run(location(bench, []), JOB, partition_key=clean.version_id).success
    for _ in range(2):
        assert bench.run(location(bench, []), JOB, partition_key=flawed.version_id).success


def test_what_the_gate_refused_is_not_accepted_when_it_is_rerun(bench: Bench) -> None:
    good = bench.archive("production", "schedule", feed("1"))
    assert bench.run(location(bench, []), JOB, partition_key=good.version_id).success
    worse = bench.archive("production", "schedule", without_stop("2"))
    for _ in range(2):
        assert not bench.run(location(bench, []), JOB, partition_key=worse.version_id).success


@pytest.mark.parametrize("emptied", [("trips.txt", "stop_times.txt"), ("stop_times.txt",)])
def test_a_feed_without_trips_is_never_published(bench: Bench, emptied: tuple[str, ...]) -> None:
    files = small_feed_files(first_date=TODAY - timedelta(days=7), last_date=TODAY + timedelta(days=60))
    headers = {name: files[name].splitlines(keepends=True)[0] for name in emptied}
    hollow = bench.archive("production", "schedule", feed_zip(files | headers))
    result = bench.run(location(bench, []), JOB, partition_key=hollow.version_id)
    assert not result.success
    failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    assert TRIPS_CHECK in failed
    published = [keys.published_schedule_key("production")]
    alone = bench.run(location(bench, []), JOB, partition_key=hollow.version_id, asset_selection=published)
    assert not alone.success
    assert bench.live(NAME) is None


@pytest.mark.parametrize("judged", [None, {"is_passed": False}, {"feed_digest": "of other bytes"}])
def test_only_bytes_that_passed_the_gate_are_published(bench: Bench, judged: dict[str, object] | None) -> None:
    version = bench.archive("production", "schedule", feed())
    assert bench.run(location(bench, []), JOB, partition_key=version.version_id).success
    record = bench.artifacts.transformed().load("production", version.version_id)
    assert record is not None
    assert record.validation is not None
    validation = None if judged is None else record.validation | judged
    bench.artifacts.transformed().save(replace(record, validation=validation))
    published = [keys.published_schedule_key("production")]
    result = bench.run(location(bench, []), JOB, partition_key=version.version_id, asset_selection=published)
    assert not result.success
    assert VALIDATION_CHECK in failures_of(result)


def test_a_step_sees_the_time_of_the_version_and_not_of_the_run(bench: Bench) -> None:
    @step(files=["agency.txt"])
    def tell_the_time(feed: Feed, context: StepContext) -> None:
        table = feed.table("agency.txt")
        table["agency_name"] = context.now.isoformat()
        feed.set_table("agency.txt", table)

    fetched_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    version = bench.archive("production", "schedule", feed(), fetched_at)
    assert bench.run(location(bench, [tell_the_time]), JOB, partition_key=version.version_id).success
    assert "2026-01-02T03:04:05+00:00" in table(bench, "agency.txt")


def test_a_run_that_starts_in_the_middle_says_to_run_all_steps() -> None:
    upstream = build_output_context(name="result", step_key="a step of another run", run_id="r")
    context = build_input_context(upstream_output=upstream)
    with context, pytest.raises(Failure, match="re-execute all steps"):
        FeedsInMemory().load_input(context)


def test_a_store_that_fails_is_tried_again_and_a_permanent_error_is_not() -> None:
    with pytest.raises(RetryRequested) as retried, failures_explained(SCHEDULE_RETRIES, 3):
        raise StoreError("no route to the store")
    assert (retried.value.max_retries, retried.value.seconds_to_wait) == (8, 16)
    with pytest.raises(Failure, match="no such version") as failed, failures_explained(SCHEDULE_RETRIES, 0):
        raise ConfigurationError("no such version")
    assert failed.value.allow_retries is False


def test_the_same_version_through_the_same_steps_gives_the_same_bytes(bench: Bench) -> None:
    version = bench.archive("production", "schedule", feed())
    digests = set()
    for _ in range(2):
        assert bench.run(location(bench), JOB, partition_key=version.version_id).success
        record = bench.artifacts.transformed().load("production", version.version_id)
        assert record is not None
        digests.add((record.feed_digest, record.index_digest))
    assert len(digests) == 1


def test_rerunning_an_older_version_does_not_replace_the_published_one(bench: Bench) -> None:
    older = bench.archive("production", "schedule", feed("1"), datetime.now(UTC) - timedelta(days=3))
    newer = bench.archive("production", "schedule", feed("2"))
    assert bench.run(location(bench, []), JOB, partition_key=newer.version_id).success
    result = bench.run(location(bench, []), JOB, partition_key=older.version_id)
    assert result.success
    outcome = [
        event.materialization.metadata["outcome"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == keys.published_schedule_key("production")
    ]
    assert outcome == ["superseded"]
    live = bench.live(NAME)
    assert live is not None
    assert live.facts["inputs"]["schedule"]["version_id"] == newer.version_id


def test_publishing_alone_stands_behind_the_gate_too(bench: Bench) -> None:
    version = bench.archive("production", "schedule", feed())
    published = [keys.published_schedule_key("production")]
    nothing = bench.run(location(bench, []), JOB, partition_key=version.version_id, asset_selection=published)
    assert not nothing.success
    assert "has not been transformed" in failures_of(nothing)


def test_a_body_that_is_damaged_in_the_archive_fails_the_run_and_says_so(bench: Bench) -> None:
    version = bench.archive("production", "schedule", feed())
    blob = next(bench.published.parent.glob(f"archive/**/{version.body_digest}"))
    blob.chmod(0o644)
    blob.write_bytes(b"rot")
    result = bench.run(location(bench, []), JOB, partition_key=version.version_id)
    assert not result.success
    assert version.body_digest in failures_of(result)


def test_an_unreadable_table_names_file_and_line(bench: Bench) -> None:
    files = small_feed_files(first_date=TODAY, last_date=TODAY)
    ragged = files["agency.txt"].rstrip("\n") + ",one,too,many\n"
    version = bench.archive("production", "schedule", feed_zip(files | {"agency.txt": ragged}))
    result = bench.run(location(bench, [RENAME]), JOB, partition_key=version.version_id)
    assert not result.success
    assert "agency.txt" in failures_of(result)
    assert "line 2" in failures_of(result)


def feed_stop_id() -> str:
    files = small_feed_files(first_date=TODAY, last_date=TODAY)
    header, first = files["stops.txt"].splitlines()[:2]
    assert header.startswith("stop_id,")
    return first.split(",")[0]
