"""Two agencies in one Dagster instance share no name: not an asset, a job, a sensor, a schedule or a partition set."""

from __future__ import annotations

from types import ModuleType

import pytest
from dagster import Definitions, DynamicPartitionsDefinition

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency, load_steps
from continuous_gtfs.definitions import realtime, schedule
from continuous_gtfs.defs.resources import Artifacts, VendorAccess

SECOND = f"capital={DEFAULT_AGENCY}"
# Of Dagster and not of an agency.
SHARED = {"__ASSET_JOB"}


def location(module: ModuleType, pipeline: str, agency: str) -> Definitions:
    definitions = module.build_definitions(
        agency=load_agency(agency),
        steps=load_steps(agency, pipeline),
        artifacts=Artifacts(archive_url="archive", published_url="published"),
        vendor_access=VendorAccess(),
    )
    assert isinstance(definitions, Definitions)
    return definitions


def named(definitions: Definitions) -> dict[str, set[str]]:
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    partitions = {graph.get(key).partitions_def for key in graph.get_all_asset_keys()}
    return {
        "assets": {key.to_user_string() for key in graph.get_all_asset_keys()},
        "jobs": {job.name for job in repository.get_all_jobs()},
        "sensors": {sensor.name for sensor in repository.sensor_defs},
        "schedules": {schedule.name for schedule in repository.schedule_defs},
        "partitions": {str(p.name) for p in partitions if isinstance(p, DynamicPartitionsDefinition)},
        "pipelines": {job.tags.get("continuous_gtfs/pipeline", job.name) for job in repository.get_all_jobs()},
    }


@pytest.mark.parametrize(("module", "pipeline"), [(schedule, "schedule"), (realtime, "realtime")])
def test_the_second_agency_shares_no_name_with_the_first(module: ModuleType, pipeline: str) -> None:
    first, second = (named(location(module, pipeline, agency)) for agency in (DEFAULT_AGENCY, SECOND))
    for kind, names in first.items():
        assert not (names & second[kind]) - SHARED, kind
        assert len(names) == len(second[kind]), kind
    assert f"{pipeline}/capital_production" in second["pipelines"]


def test_a_key_changes_neither_the_steps_nor_where_the_vendor_is_asked() -> None:
    first, second = load_agency(DEFAULT_AGENCY), load_agency(SECOND)
    assert second.environments == ("capital_production", "capital_qa")
    assert [source.url for source in second.feeds] == [source.url for source in first.feeds]
    assert load_steps(SECOND, "realtime") == load_steps(DEFAULT_AGENCY, "realtime")
