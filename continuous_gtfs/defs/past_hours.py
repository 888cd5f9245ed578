"""What happened to an environment's realtime feeds in a past hour, as moments that can be replayed.

Read from packs and from small files alike, with the schedule that was live then where it still exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.manifest import version_key
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.packs import Packs, hour_of
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.defs.published_schedule import (
    INDEX_EXTENSION,
    NONE_PUBLISHED,
    PublishedSchedule,
    read_published_schedule,
)
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ArchiveCorruptError, ContinuousGtfsError
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.realtime.replay import Moment
from continuous_gtfs.versions import FeedVersion

Reader = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A moment whose bytes have not been read yet: an hour of a large feed is more than fits into memory."""

    feed: str
    version: FeedVersion
    at: datetime
    steps_at: datetime
    inputs: Mapping[str, FeedVersion]
    schedule: str
    read_published: Reader | None = None
    accepted: frozenset[str] = frozenset()


@dataclass(slots=True)
class _FeedHour:
    """One feed's snapshots of one hour, and how to read them."""

    versions: dict[str, FeedVersion] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)
    published: dict[str, tuple[PublishedSnapshot, Reader]] = field(default_factory=dict)

    def add(self, record: FeedVersion | PublishedSnapshot, reader: Reader) -> None:
        if isinstance(record, PublishedSnapshot):
            self.published[record.label] = record, reader
        else:
            self.versions[record.version_id], self.readers[record.version_id] = record, reader


class PastHours:
    """Reads past hours of one environment.

    Args:
        feeds: Those that are published, in the order in which steps see them.

    Attributes:
        unreadable: What could not be read and is left out, one sentence each.
        schedules: Label of the schedule that was live then to the one that stands for it.
    """

    def __init__(self, artifacts: Artifacts, environment: str, feeds: Sequence[str]) -> None:
        store = open_store(artifacts.archive_url)
        self.unreadable: list[str] = []
        self.schedules: dict[str, str] = {}
        self._artifacts = artifacts
        self._environment = environment
        self._feeds = tuple(feeds)
        self._archive = Archive(store)
        self._packs = Packs(store)
        self._published = PublishedSnapshots(store)
        self._unpacked = {feed: self._archive.unpacked(environment, feed, unreadable=self.unreadable) for feed in feeds}
        self._indexes: dict[str, PublishedSchedule] = {}
        self._bodies: dict[str, tuple[str, bytes]] = {}

    def moments(self, hour: datetime) -> Iterator[Moment]:
        """What was published of the versions of an hour, and those of which nothing was, in the order of time."""
        found = {feed: self._feed_hour(feed, hour) for feed in self._feeds}
        planned = [*self._publications(found), *self._unpublished(found)]
        for one in sorted(planned, key=lambda one: (one.at, self._feeds.index(one.feed))):
            try:
                bodies = {feed: self._body(found.get(feed), version) for feed, version in one.inputs.items()}
                published = one.read_published() if one.read_published else None
            except ArchiveCorruptError as error:
                self.unreadable.append(str(error))
                continue
            schedule = self._schedule(one.schedule)
            yield Moment(
                feed=one.feed,
                version_id=one.version.version_id,
                at=one.at,
                steps_at=one.steps_at,
                bodies=bodies,
                published=published,
                accepted=one.accepted,
                schedule=schedule.label,
                index=schedule.index,
            )

    def last_published(self, hour: datetime) -> dict[str, bytes]:
        """By feed, what went out last of the versions of an hour."""
        last = {}
        for feed in self._feeds:
            published = self._feed_hour(feed, hour).published.values()
            if published:
                _, read = max(published, key=lambda one: one[0].published_at)
                try:
                    last[feed] = read()
                except ArchiveCorruptError as error:
                    self.unreadable.append(str(error))
        return last

    def _feed_hour(self, feed: str, hour: datetime) -> _FeedHour:
        found = _FeedHour()
        for version in self._unpacked[feed]:
            if hour_of(version.fetched_at) == hour:
                found.add(version, partial(self._archive.read, version))
        for key in self._published.keys(self._environment, feed, hour):
            try:
                kept = self._published.read(key)
            except ArchiveCorruptError as error:
                self.unreadable.append(str(error))
                continue
            if kept is not None:
                found.add(kept[0], partial(self._read_kept, key))
        # Last, so that of what is in both the pack is read.
        if pack := self._packs.open(self._environment, feed, hour):
            for record in pack.records:
                found.add(record, partial(pack.body, record))
        return found

    def _read_kept(self, key: str) -> bytes:
        kept = self._published.read(key)
        if kept is None:
            raise ArchiveCorruptError(f"{key} was packed while it was being replayed; run again")
        return kept[1]

    def _publications(self, found: Mapping[str, _FeedHour]) -> Iterator[_Planned]:
        for feed, of_hour in found.items():
            for snapshot, reader in of_hour.published.values():
                facts = snapshot.facts
                steps_at = facts.get("steps_at")
                yield _Planned(
                    feed,
                    snapshot.version,
                    at=snapshot.published_at,
                    steps_at=datetime.fromisoformat(steps_at) if steps_at else snapshot.published_at,
                    inputs={name: FeedVersion.from_dict(fields) for name, fields in facts["inputs"].items()},
                    schedule=facts["schedule"],
                    read_published=reader,
                    accepted=frozenset(facts.get("accepted", ())),
                )

    def _unpublished(self, found: Mapping[str, _FeedHour]) -> Iterator[_Planned]:
        """Versions that no publication was made of, with what was newest of the other feeds."""
        snapshots = [snapshot for of_hour in found.values() for snapshot, _ in of_hour.published.values()]
        labels = sorted((snapshot.published_at, str(snapshot.facts["schedule"])) for snapshot in snapshots)
        for feed, of_hour in found.items():
            published = {snapshot.version.version_id for snapshot, _ in of_hour.published.values()}
            for version in of_hour.versions.values():
                if version.version_id in published:
                    continue
                at = version.fetched_at
                newest = {
                    name: max(earlier, key=lambda one: one.fetched_at)
                    for name, other in found.items()
                    if (earlier := [one for one in other.versions.values() if one.fetched_at <= at])
                }
                # As the last publication before it, or else the first of the hour.
                known = [label for published_at, label in labels if published_at <= at][-1:] or [
                    label for _, label in labels[:1]
                ]
                newest[feed] = version
                yield _Planned(
                    feed,
                    version,
                    at=at,
                    steps_at=at,
                    inputs=newest,
                    schedule=known[0] if known else "",
                )

    def _body(self, of_hour: _FeedHour | None, version: FeedVersion) -> bytes:
        """The bytes of an input; of a feed that stands still the same again and again."""
        held = self._bodies.get(version.feed)
        if held is None or held[0] != version.version_id:
            reader = of_hour.readers.get(version.version_id) if of_hour else None
            held = version.version_id, reader() if reader else self._archive.read(version)
            self._bodies[version.feed] = held
        return held[1]

    def _schedule(self, label: str) -> PublishedSchedule:
        """The schedule of that label, or else the one that is live now."""
        if label not in self._indexes:
            then = PublishedSchedule(label, None) if label == NONE_PUBLISHED else self._schedule_then(label)
            self._indexes[label] = then or read_published_schedule(self._artifacts, self._environment)
            self.schedules[label] = self._indexes[label].label
        return self._indexes[label]

    def _schedule_then(self, label: str) -> PublishedSchedule | None:
        try:
            key = version_key(names.schedule_publication(self._environment), label, INDEX_EXTENSION)
            data = open_store(self._artifacts.published_url).read(key)
            return PublishedSchedule(label, ScheduleIndex.from_bytes(data))
        except ContinuousGtfsError:
            # No longer there, of a form that is no longer read, or a label that says why there was no index.
            return None
