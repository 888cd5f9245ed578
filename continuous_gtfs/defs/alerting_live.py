"""What is live, for the alert sensor: a manifest is read again only where what is known of it could be wrong by now.

A publication only ever becomes newer. What is known to be younger than the age from which the agency warns is so still,
and needs no reading; one manifest a look is read all the same, so that a store that is away is found.
"""

from __future__ import annotations

from collections.abc import Iterable

from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs.alerting_facts import Live, declared_publications, read_publication
from continuous_gtfs.defs.resources import Artifacts


class KnownPublications:
    """The publications of one pipeline of an agency, as they were read last; kept in the sensor's process."""

    def __init__(self, agency: Agency, pipeline: str) -> None:
        self._declared = list(declared_publications(agency, pipeline))
        self._known: dict[str, Live] = {}
        self._next = 0

    def look(self, artifacts: Artifacts, *, now: float) -> list[Live]:
        """All of them; those that may be old as they are now.

        Raises:
            ContinuousGtfsError: The store cannot be read.
        """
        in_turn = {self._declared[self._next % len(self._declared)].name} if self._declared else set()
        self._read((one for one in self._declared if one.name in in_turn or self._may_be_old(one, now)), artifacts)
        self._next += 1
        return [self._known[one.name] for one in self._declared]

    def read_pipeline(self, artifacts: Artifacts, pipeline: str) -> list[Live]:
        """Those of ``realtime/production`` as they are now.

        Raises:
            ContinuousGtfsError: The store cannot be read.
        """
        chosen = [one for one in self._declared if one.pipeline == pipeline]
        self._read(chosen, artifacts)
        return [self._known[one.name] for one in chosen]

    def _may_be_old(self, one: Live, now: float) -> bool:
        known = self._known.get(one.name)
        if known is None or known.manifest is None:
            return True
        age_s = now - known.manifest.published_at.timestamp()
        # A clock that was set back makes nothing young for ever.
        return not 0 <= age_s < one.freshness.warn_after.total_seconds()

    def _read(self, chosen: Iterable[Live], artifacts: Artifacts) -> None:
        publisher = artifacts.publisher()
        for one in chosen:
            self._known[one.name] = read_publication(one, publisher)
