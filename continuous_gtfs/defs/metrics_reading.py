"""The database's part of the metrics as one reading, and what is known without reading anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from continuous_gtfs import __version__
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs.metrics_storage import Places, storage_samples
from continuous_gtfs.defs.metrics_totals import Counting
from continuous_gtfs.defs.run_queries import dagster_storage
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.samples import Sample, sample
from continuous_gtfs.pipeline_version import pipeline_version


class DatabasePart:
    """Reads Dagster's storage of ``DAGSTER_HOME``, and remembers how far it has counted."""

    def __init__(self, agencies: Sequence[Agency]) -> None:
        self._places = Places(agencies)
        self._counting = Counting()

    def read(self, now: float) -> list[Sample]:
        """All values.

        Raises:
            ConfigurationError: It cannot be read.
        """
        with dagster_storage() as instance:
            states = {state.selector_id: state for state in instance.all_instigator_state()}
            found = list(storage_samples(instance, self._places, states))
            found += self._counting.look(instance, self._places, states, now=now).samples()
        return found


def release_samples(environ: Mapping[str, str]) -> list[Sample]:
    """Which release reads the metrics."""
    return [sample(metrics.BUILD, __version__, pipeline_version(environ), value=1)]
