"""The database's part of the metrics as one reading, and what is known without reading anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from dagster import DagsterInstance

from continuous_gtfs import __version__
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs.metrics_storage import Places, storage_samples
from continuous_gtfs.defs.metrics_totals import Counting
from continuous_gtfs.defs.run_queries import dagster_storage
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.samples import Sample, sample
from continuous_gtfs.pipeline_version import pipeline_version


class DatabasePart:
    """Reads Dagster's storage of ``DAGSTER_HOME``. Remembers how far it has counted, and keeps the storage open.

    Opening it takes longer than a reading: it is opened again only after it has failed.
    """

    def __init__(self, agencies: Sequence[Agency]) -> None:
        self._places = Places(agencies)
        self._counting = Counting()
        self._stack = ExitStack()
        self._instance: DagsterInstance | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._instance = None
        self._stack.close()

    def read(self, now: float) -> list[Sample]:
        """All values.

        Raises:
            ConfigurationError: It cannot be read.
        """
        if self._instance is None:
            self._instance = self._stack.enter_context(dagster_storage())
        try:
            return list(self._read(self._instance, now))
        except Exception as error:
            self._instance = None
            # It says what has failed in a sentence of ours, as an error that goes on from here.
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise

    def _read(self, instance: DagsterInstance, now: float) -> Iterator[Sample]:
        states = {state.selector_id: state for state in instance.all_instigator_state()}
        yield from storage_samples(instance, self._places, states)
        yield from self._counting.look(instance, self._places, states, now=now).samples()


def release_samples(environ: Mapping[str, str]) -> list[Sample]:
    """Which release reads the metrics."""
    return [sample(metrics.BUILD, __version__, pipeline_version(environ), value=1)]
