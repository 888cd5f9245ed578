"""An agency's stores in a temporary folder, and runs of one location in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, Definitions, ExecuteInProcessResult
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, Agency, load_agency
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.defs.identify import identify
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.pims.outcomes import Body
from continuous_gtfs.versions import FeedVersion


@dataclass
class Bench:
    """What a location's tests share: stores, an instance, and a way to run a job."""

    agency: Agency
    artifacts: Artifacts
    instance: DagsterInstance
    published: Path

    def archive(self, environment: str, feed: str, body: bytes, fetched_at: datetime | None = None) -> FeedVersion:
        """The version as a sensor would have archived it, with its partition where it is a schedule."""
        source = next(s for s in self.agency.feeds if s.feed_id == f"{environment}/{feed}")
        version = identify(source, Body(body), fetched_at or datetime.now(UTC))
        if feed == "schedule":
            self.instance.add_dynamic_partitions(f"schedule_{environment}_versions", [version.version_id])
        return self.artifacts.archive().save(version, body)

    def run(self, definitions: Definitions, job: str, **options: Any) -> ExecuteInProcessResult:
        # Else Dagster asks the storage of whichever instance it takes for the current one, and that may be a dead one.
        DefinitionsLoadContext.set(DefinitionsLoadContext(load_type=DefinitionsLoadType.RECONSTRUCTION))
        return definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, raise_on_error=False, **options
        )

    def live(self, name: str) -> Manifest | None:
        return self.artifacts.publisher().current(name)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    artifacts = Artifacts(archive_url=str(tmp_path / "archive"), published_url=str(tmp_path / "published"))
    with DagsterInstance.ephemeral() as instance:
        yield Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, tmp_path / "published")


def failures_of(result: ExecuteInProcessResult) -> str:
    """What the failed steps of a run say, as the UI shows it."""
    told = []
    for event in result.get_step_failure_events():
        error = event.step_failure_data.user_failure_data
        told.append(error.description or "" if error else str(event.step_failure_data.error))
    return "\n".join(told)
