"""The sampled validation, through a real run and a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterInstance,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunRequest,
    SkipReason,
    TableMetadataValue,
    build_schedule_context,
)

from continuous_gtfs import names
from continuous_gtfs.artifacts.publication import PublicationObject
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_validation import NO_ERRORS_CHECK, validation_schedule
from continuous_gtfs.realtime.sampling import ValidationSampling
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.defs.conftest import Bench, failures_of
from continuous_gtfs_tests.defs.test_realtime_assets import JOB, TU, VP, location, now, trip_updates, vehicles

VALIDATE = names.validation_job_name("production")


def publish_schedule(bench: Bench, label: str = "s") -> None:
    today = datetime.now(UTC).date()
    body = small_feed(first_date=today - timedelta(days=9), last_date=today + timedelta(days=9), feed_version=label)
    bench.artifacts.publisher().publish(
        names.schedule_publication("production"),
        [PublicationObject(extension="zip", data=body, content_type="application/zip")],
        label=label,
        order=[label],
        manifest={},
        now=now(),
    )


def publish(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now()))
    bench.archive("production", TU, trip_updates(now()))
    assert bench.run(location(bench), JOB).success


def validate(bench: Bench) -> ExecuteInProcessResult:
    return bench.run(location(bench), VALIDATE)


def metadata_of(result: ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == keys.realtime_validation_key("production")
    return {name: value.value for name, value in event.materialization.metadata.items()}


def check_of(result: ExecuteInProcessResult) -> AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.check_name == NO_ERRORS_CHECK
    return evaluation


def prepared_files(bench: Bench) -> list[Path]:
    return list(Path(bench.artifacts.archive_url, "validation/production/prepared").iterdir())


def test_what_is_live_is_judged_by_every_rule_and_the_report_is_kept(bench: Bench) -> None:
    publish_schedule(bench)
    publish(bench)
    result = validate(bench)
    assert result.success, "errors of a feed are no error of the run"
    (event,) = result.get_asset_materialization_events()
    table = event.materialization.metadata["findings"]
    assert isinstance(table, TableMetadataValue)
    rows = {str(record.data["rule"]): record.data for record in table.records}
    assert (rows["E003"]["severity"], rows["E003"]["count"]) == ("ERROR", 3), "three trips of another schedule"
    assert "trip_updates entity[0]" in str(rows["E003"]["sample"])
    metadata = metadata_of(result)
    assert metadata["messages"] == 2
    report = json.loads(Path(str(metadata["report_json"])).read_bytes())
    assert report["validated"] == metadata["validated"]
    assert {finding["rule"] for finding in report["findings"]} == set(rows)
    assert set(report["validated"]) == {"schedule", VP, TU}


def test_the_check_warns_with_the_number_and_passes_what_the_agency_lives_with(bench: Bench) -> None:
    publish_schedule(bench)
    publish(bench)
    strict = check_of(validate(bench))
    assert (strict.passed, strict.severity, strict.blocking) == (False, AssetCheckSeverity.WARN, False)
    broken = set(str(strict.metadata["rules"].value).split(", "))
    assert "E003" in broken
    assert int(str(strict.metadata["errors"].value)) >= 3
    assert "E003 3x" in (strict.description or "")
    bench.agency = replace(bench.agency, realtime_validation=ValidationSampling(ignored_rules=frozenset(broken)))
    lenient = check_of(validate(bench))
    assert (lenient.passed, lenient.metadata["errors"].value) == (True, 0)


def test_a_schedule_is_prepared_once_a_version(bench: Bench) -> None:
    publish_schedule(bench)
    publish(bench)
    assert metadata_of(validate(bench))["prepared_schedule"] == "prepared for this version"
    assert metadata_of(validate(bench))["prepared_schedule"] == "kept from an earlier sample"
    (first,) = prepared_files(bench)
    publish_schedule(bench, label="t")
    assert metadata_of(validate(bench))["prepared_schedule"] == "prepared for this version"
    (second,) = prepared_files(bench)
    assert first != second
    second.write_bytes(b"damaged")
    assert str(metadata_of(validate(bench))["prepared_schedule"]).startswith("prepared anew: ")
    assert second.read_bytes() != b"damaged"


def test_without_a_schedule_or_a_feed_there_is_nothing_to_validate(bench: Bench) -> None:
    result = validate(bench)
    assert "no schedule of production is published" in failures_of(result)
    publish_schedule(bench)
    assert "no realtime feed of production is published yet" in failures_of(validate(bench))


def test_what_was_live_before_is_what_time_is_compared_with(bench: Bench) -> None:
    publish_schedule(bench)
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=80)))
    assert bench.run(location(bench), JOB).success
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    (event,) = validate(bench).get_asset_materialization_events()
    table = event.materialization.metadata["findings"]
    assert isinstance(table, TableMetadataValue)
    assert "W007" in {record.data["rule"] for record in table.records}, "80 s between two headers"


@pytest.fixture
def lasting(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """The bench with an instance on disk: a schedule opens it anew from where it is."""
    home = tmp_path / "instance"
    home.mkdir()
    with DagsterInstance.local_temp(str(home)) as instance:
        yield replace(bench, instance=instance)


def tick(bench: Bench) -> RunRequest | SkipReason:
    schedule = validation_schedule(bench.agency, "production", [VP, TU])
    assert schedule is not None
    context = build_schedule_context(instance=bench.instance, resources={"artifacts": bench.artifacts})
    answer = schedule(context)
    assert isinstance(answer, RunRequest | SkipReason)
    return answer


def skipped(bench: Bench) -> str:
    answer = tick(bench)
    assert isinstance(answer, SkipReason)
    return answer.skip_message or ""


def test_a_tick_asks_for_a_sample_of_what_was_not_validated_yet_and_for_one_at_a_time(lasting: Bench) -> None:
    assert "no schedule of production is published" in skipped(lasting)
    publish_schedule(lasting)
    assert "no realtime feed of production" in skipped(lasting)
    publish(lasting)
    assert isinstance(tick(lasting), RunRequest)
    assert validate(lasting).success
    assert skipped(lasting) == "what is live was validated already"
    lasting.archive("production", VP, vehicles(now() + timedelta(seconds=5)))
    assert lasting.run(location(lasting), JOB).success
    assert isinstance(tick(lasting), RunRequest)
    lasting.instance.create_run_for_job(location(lasting).resolve_job_def(VALIDATE), status=DagsterRunStatus.STARTED)
    assert skipped(lasting) == "the last sample is still being validated"


def test_an_agency_that_wants_no_samples_gets_no_schedule_and_can_still_ask(bench: Bench) -> None:
    bench.agency = replace(bench.agency, realtime_validation=ValidationSampling(every_min=None))
    assert validation_schedule(bench.agency, "production", [VP, TU]) is None
    definitions = location(bench)
    assert VALIDATE not in {schedule.name for schedule in definitions.schedules or []}
    assert definitions.resolve_job_def(VALIDATE).executor_def.name == "in_process"
