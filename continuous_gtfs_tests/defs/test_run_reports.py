"""What is said of runs: of real ones of both pipelines, read back from the storage that they wrote to."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from dagster import RunsFilter, job, materialize

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.run_queries import RunQuery
from continuous_gtfs.defs.run_report import RunReport
from continuous_gtfs.defs.run_report_text import run_lines, run_text
from continuous_gtfs.defs.run_reports import run_reports
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext, step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import NO_NIGHT, TU, VP, run_realtime, run_schedule, schedule_location


def reports(bench: Bench, **query: object) -> list[RunReport]:
    return run_reports(bench.instance, RunQuery(**query), now=datetime.now(UTC))  # type: ignore[arg-type]


def the_report(bench: Bench) -> RunReport:
    (report,) = reports(bench)
    return report


def test_a_schedule_run_says_what_each_step_did_to_each_file(bench: Bench) -> None:
    result = run_schedule(bench)
    report = the_report(bench)
    assert (report.run_id, report.pipeline, report.status, report.trigger) == (
        result.run_id,
        "schedule/production",
        "success",
        "by_hand",
    )
    assert [(step.name, step.status, step.removed, step.changed) for step in report.steps] == [
        ("remove_rows_trips", "success", 1, 0),
        ("remove_rows_stop_times", "success", 3, 0),
        ("update_fields_agency", "success", 0, 1),
    ]
    assert report.steps[0].files["trips.txt"] == {
        "before": 3,
        "after": 2,
        "removed": 1,
        "added": 0,
        "changed": 0,
        "removed_ids": "NIGHT",
    }
    assert ("remove_rows_trips", "1 row removed from trips.txt") in [(f.step, f.finding) for f in report.findings]
    assert [op.name for op in report.ops][:2] == ["read_production_version", "remove_rows_trips"]
    assert all(op.status == "success" and op.duration_ms for op in report.ops)
    assert report.failed_checks == []
    assert report.checks_passed >= 5


def test_a_schedule_run_says_what_it_published(bench: Bench) -> None:
    run_schedule(bench)
    report = the_report(bench)
    live = bench.live("schedule/production/gtfs")
    assert live is not None
    outputs = {output.asset: output for output in report.outputs}
    assert list(outputs) == [
        keys.transformed_feed_key("production").to_user_string(),
        keys.feed_diff_key("production").to_user_string(),
        keys.published_schedule_key("production").to_user_string(),
    ]
    published = outputs["schedule/production/published_feed"]
    (zipped,) = [item for item in live.objects if item.extension == "zip"]
    assert (published.outcome, published.label, published.url_path) == ("published", live.label, zipped.path)
    assert (published.digest, published.bytes) == (zipped.sha256, zipped.bytes)
    assert report.inputs == {"schedule": published.version_id}


def test_a_realtime_run_has_the_form_of_a_schedule_run(bench: Bench) -> None:
    run_realtime(bench)
    report = the_report(bench)
    assert (report.pipeline, report.status, report.trigger, report.code_version) == (
        "realtime/production",
        "success",
        "new_version",
        "c0de",
    )
    assert set(report.inputs) == set(report.changed) == {VP, TU}
    assert [(step.name, step.status) for step in report.steps] == [
        ("FilterStopsByID", "success"),
        ("UpdateFeedHeader", "success"),
    ]
    assert {feed: counts["after"] for feed, counts in report.steps[0].files.items()} == {VP: 2, TU: 1}
    assert {finding.finding for finding in report.findings} == {
        "1 updates for stop E01-T1",
        "1 vehicles at stop E01-T1",
    }
    for output in report.outputs:
        live = bench.live(output.url_path.removesuffix(".pb") if output.url_path else "")
        assert live is not None
        assert (output.label, output.digest) == (live.label, live.objects[0].sha256)
        assert output.age_at_publication_s is not None
        assert 0 <= output.age_at_publication_s < 90
    assert [output.entities for output in report.outputs] == [2, 1]


def test_what_a_step_said_twice_of_a_feed_is_told_twice_and_what_it_said_of_all_feeds_once(bench: Bench) -> None:
    @step(files=[VP])
    def repeat(feeds: RealtimeFeeds, context: StepContext) -> None:
        for _ in range(2):
            context.find(Finding("info", "said", "of the vehicles", file=VP))
        context.find(Finding("info", "said", "of everything"))

    run_realtime(bench, [repeat])
    assert Counter(finding.finding for finding in the_report(bench).findings) == {
        "of the vehicles": 2,
        "of everything": 1,
    }


def test_a_failed_step_of_either_pipeline_comes_after_those_that_ran(bench: Bench) -> None:
    @step(files=["stops.txt"])
    def stumble(feed: Feed) -> None:
        raise ValueError("no such stop")

    @step(files=[VP])
    def trip_over(feeds: RealtimeFeeds) -> None:
        raise ValueError("no such vehicle")

    run_schedule(bench, [*NO_NIGHT, stumble])
    run_realtime(bench, [trip_over])
    of_realtime, of_schedule = reports(bench)
    assert [(one.name, one.status) for one in of_schedule.steps][2:] == [
        ("update_fields_agency", "success"),
        ("stumble", "failed"),
    ]
    assert [(one.name, one.status) for one in of_realtime.steps] == [("trip_over", "failed")]
    for report, said in ((of_schedule, "no such stop"), (of_realtime, "no such vehicle")):
        assert report.status == "failure"
        assert [op.error for op in report.ops if op.error] == [
            f"step {report.steps[-1].name} failed: ValueError: {said}"
        ]
        assert report.outputs == []


def test_a_refused_feed_names_the_check_and_still_says_what_its_steps_did(bench: Bench) -> None:
    run_realtime(bench, age_s=500)
    report = the_report(bench)
    assert report.status == "failure"
    assert report.outputs == []
    assert [one.name for one in report.steps] == ["FilterStopsByID", "UpdateFeedHeader"]
    assert report.failed_checks
    for check in report.failed_checks:
        assert check.severity == "error"
        assert check.asset.startswith("realtime/production/published_")
        assert "s old" in check.message


def test_a_run_over_several_versions_has_each_step_once_a_version(bench: Bench) -> None:
    run_schedule(bench)
    other = bench.archive("production", "schedule", run_feed_without_a_trip())
    first, *_ = bench.instance.get_dynamic_partitions("schedule_production_versions")
    result = bench.run(
        schedule_location(bench, NO_NIGHT),
        "schedule_production",
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": other.version_id,
        },
        asset_selection=[keys.transformed_feed_key("production")],
    )
    report = reports(bench, run_id=result.run_id)[0]
    assert [one.name for one in report.steps] == 2 * [
        "remove_rows_trips",
        "remove_rows_stop_times",
        "update_fields_agency",
    ]
    assert report.inputs == {"schedule": f"{first}...{other.version_id}"}
    assert [one.files["trips.txt"]["before"] for one in report.steps if one.name == "remove_rows_trips"] == [3, 3]


def run_feed_without_a_trip() -> bytes:
    from datetime import timedelta

    from continuous_gtfs_tests.builders import small_feed

    today = datetime.now(UTC).date()
    return small_feed(first_date=today - timedelta(days=7), last_date=today + timedelta(days=61))


def test_runs_are_chosen_by_pipeline_environment_and_outcome(bench: Bench) -> None:
    schedule = run_schedule(bench).run_id
    refused = run_realtime(bench, age_s=500).run_id
    published = run_realtime(bench).run_id
    of_qa = run_realtime(bench, environment="qa").run_id
    for query, expected in (
        ({}, [of_qa, published, refused, schedule]),
        ({"limit": 2}, [of_qa, published]),
        ({"pipeline": "schedule"}, [schedule]),
        ({"pipeline": "realtime", "environment": "production"}, [published, refused]),
        ({"environment": "qa"}, [of_qa]),
        ({"environment": "nowhere"}, []),
        ({"failed": True}, [refused]),
        ({"failed": True, "pipeline": "schedule"}, []),
        ({"run_id": refused}, [refused]),
        ({"run_id": refused[:8]}, [refused]),
    ):
        assert [report.run_id for report in reports(bench, **query)] == expected, query


def test_a_run_that_a_person_started_from_an_asset_belongs_to_its_pipeline(bench: Bench) -> None:
    run_schedule(bench)
    location = schedule_location(bench, NO_NIGHT)
    (partition,) = bench.instance.get_dynamic_partitions("schedule_production_versions")
    job = location.resolve_implicit_global_asset_job_def()
    by_hand = job.execute_in_process(
        instance=bench.instance,
        asset_selection=[keys.transformed_feed_key("production")],
        partition_key=partition,
    )
    stored = bench.instance.get_run_by_id(by_hand.run_id)
    assert stored is not None
    assert stored.job_name == "__ASSET_JOB"
    newest, _ = reports(bench, pipeline="schedule", environment="production")
    assert (newest.run_id, newest.pipeline, newest.trigger) == (by_hand.run_id, "schedule/production", "by_hand")
    assert reports(bench, pipeline="realtime") == []


@pytest.mark.parametrize(
    ("tags", "trigger"),
    [
        ({"dagster/backfill": "abc"}, "backfill"),
        ({"dagster/schedule_name": "hourly"}, "by_timer"),
        ({"dagster/schedule_name": "hourly", names.TRIGGER_TAG: "code_changed"}, "code_changed"),
        ({"dagster/parent_run_id": "the-first"}, "by_hand"),
    ],
)
def test_what_started_a_run_is_told(bench: Bench, tags: dict[str, str], trigger: str) -> None:
    add_run_to_storage(bench, tags)
    report = the_report(bench)
    assert (report.trigger, report.retry_of) == (trigger, tags.get("dagster/parent_run_id"))


def test_the_runs_of_further_pipelines_are_chosen_by_their_tag(bench: Bench) -> None:
    for pipeline in ("archive/production", "replay/qa", "realtime/qa"):
        add_run_to_storage(bench, {names.PIPELINE_TAG: pipeline})
    assert [report.pipeline for report in reports(bench, pipeline="archive")] == ["archive/production"]
    assert [report.pipeline for report in reports(bench, environment="qa")] == ["realtime/qa", "replay/qa"]


def add_run_to_storage(bench: Bench, tags: dict[str, str]) -> None:
    @job
    def nothing() -> None:
        pass

    bench.instance.create_run_for_job(nothing, tags=tags)


@pytest.mark.parametrize("run_id", ["no-such-run", "00000000-0000-0000-0000-000000000000"])
def test_a_run_that_is_not_there_is_an_error_that_names_it(bench: Bench, run_id: str) -> None:
    with pytest.raises(ConfigurationError, match=run_id):
        reports(bench, run_id=run_id)


def test_letters_with_which_several_ids_begin_are_refused(bench: Bench) -> None:
    run_realtime(bench)
    run_realtime(bench, environment="qa")
    with pytest.raises(ConfigurationError, match="2 runs begin so"):
        reports(bench, run_id="")


def test_the_json_form_holds_everything_and_is_plain(bench: Bench) -> None:
    run_schedule(bench)
    run_realtime(bench)
    of_realtime, of_schedule = (json.loads(json.dumps(report.to_dict())) for report in reports(bench))
    assert set(of_realtime) == set(of_schedule)
    assert set(of_realtime["steps"][0]) == set(of_schedule["steps"][0])
    assert of_realtime["outputs"][0]["age_at_publication_s"] is not None
    assert datetime.fromisoformat(of_schedule["created_at"]).tzinfo is not None


def test_the_list_has_a_line_a_run_that_says_what_matters(bench: Bench) -> None:
    run_schedule(bench)
    run_realtime(bench, age_s=500)
    header, refused, published = run_lines(reports(bench)).splitlines()
    assert header.split()[:3] == ["run", "created", "(UTC)"]
    assert "realtime/production" in refused
    assert "failure" in refused
    assert "2 ok" in refused
    assert "failed" in refused
    assert "not published, the last good feed stays" in refused
    assert "3 ok, 4 removed, 1 changed" in published
    assert run_lines([]) == "no runs\n"


def test_one_run_is_told_whole(bench: Bench) -> None:
    run_schedule(bench)
    run_realtime(bench)
    of_realtime, of_schedule = (run_text(report) for report in reports(bench))
    for text in (of_realtime, of_schedule):
        for title in ("inputs", "ops", "steps", "findings", "outputs"):
            assert f"\n{title}\n" in text
        assert "checks that failed" not in text
    assert "1 updates for stop E01-T1" in of_realtime
    assert "realtime/production/trip_updates.pb" in of_realtime
    assert "store_transformed_feed" in of_schedule


def test_a_run_that_belongs_to_no_pipeline_is_told_by_its_job(bench: Bench) -> None:
    from dagster import asset

    @asset
    def something() -> None:
        return None

    materialize([something], instance=bench.instance)
    assert bench.instance.get_runs_count(RunsFilter()) == 1
    report = the_report(bench)
    assert report.pipeline is None
    assert (report.steps, report.status) == ([], "success")
    assert report.job in run_lines([report])
