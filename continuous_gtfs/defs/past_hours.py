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
        self._unpacked: dict[str, list[FeedVersion]] = {}
        self._indexes: dict[str, PublishedSchedule] = {}
        self._bodies: dict[str, tuple[str, bytes]] = {}

    def moments(self, hour: datetime) -> Iterator[Moment]:
        """What was published of the versions of an hour, and those of which nothing was, in the order of time."""
        found = {feed: self._feed_hour(feed, hour) for feed in self._feeds}
        planned = [*self._publications(found), *self._unpublished(found, hour)]
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
        for version in self._small(feed):
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

    def _small(self, feed: str) -> list[FeedVersion]:
        """The versions of a feed that have a record of their own."""
        if feed not in self._unpacked:
            self._unpacked[feed] = self._archive.unpacked(self._environment, feed, unreadable=self.unreadable)
        return self._unpacked[feed]

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

    def _unpublished(self, found: Mapping[str, _FeedHour], hour: datetime) -> Iterator[_Planned]:
        """Versions that no publication was made of, with what was newest of the other feeds that runs had then."""
        snapshots = [snapshot for of_hour in found.values() for snapshot, _ in of_hour.published.values()]
        labels = sorted((snapshot.published_at, str(snapshot.facts["schedule"])) for snapshot in snapshots)
        published = {(one.version.feed, one.version.version_id) for one in snapshots}
        of_none = [
            version
            for feed, of_hour in found.items()
            for version in of_hour.versions.values()
            if (feed, version.version_id) not in published
        ]
        if not of_none:
            return
        # Also those that only steps read, which are not among the published feeds.
        names_of_inputs = dict.fromkeys(name for snapshot in snapshots for name in snapshot.facts["inputs"])
        inputs = {
            name: self._until(name, hour, found.get(name)) for name in dict.fromkeys([*names_of_inputs, *self._feeds])
        }
        for version in of_none:
            at = version.fetched_at
            newest = {
                name: max(earlier, key=lambda one: one.fetched_at)
                for name, versions in inputs.items()
                if (earlier := [one for one in versions if one.fetched_at <= at])
            }
            # As the last publication before it, or else the first of the hour.
            known = [label for published_at, label in labels if published_at <= at][-1:] or [
                label for _, label in labels[:1]
            ]
            yield _Planned(
                version.feed,
                version,
                at=at,
                steps_at=at,
                inputs=newest | {version.feed: version},
                schedule=known[0] if known else "",
            )

    def _until(self, feed: str, hour: datetime, of_hour: _FeedHour | None) -> list[FeedVersion]:
        """A feed's versions of the hour, and the newest one before it, however long before that was."""
        versions = list((of_hour or self._feed_hour(feed, hour)).versions.values())
        before = [version for version in self._small(feed) if version.fetched_at < hour]
        packed = [earlier for earlier in self._packs.hours(self._environment, feed) if earlier < hour]
        if packed and (pack := self._packs.open(self._environment, feed, packed[-1])):
            before += [record for record in pack.records if isinstance(record, FeedVersion)]
        return versions + sorted(before, key=lambda version: version.fetched_at)[-1:]

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
