"""RealtimeFeeds: the messages of one run, as something that a pipeline of steps can transform."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Self

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import ConfigurationError, StepDefinitionError
from continuous_gtfs.pipeline.results import SAMPLE_SIZE, RowChanges
from continuous_gtfs.realtime.messages import serialize_feed

VEHICLE_POSITIONS = "vehicle_positions"
TRIP_UPDATES = "trip_updates"


class _Held:
    """One message as several forks share it. ``seal`` is its bytes when it was first handed out to read."""

    __slots__ = ("body", "message", "seal")

    def __init__(self, message: FeedMessage, body: bytes | None = None) -> None:
        self.message = message
        self.body = body
        self.seal: bytes | None = None


class RealtimeFeeds:
    """Feed name to FeedMessage, copied only when a step edits it. A ``pipeline.Transformable``.

    Args:
        messages: By feed name, ``vehicle_positions``.
        bodies: The bytes that the messages were parsed from, where ``to_bytes`` is to give them back
            for a feed that no step edited.
    """

    def __init__(self, messages: Mapping[str, FeedMessage], *, bodies: Mapping[str, bytes] | None = None) -> None:
        bodies = bodies or {}
        self._held = {name: _Held(message, bodies.get(name)) for name, message in messages.items()}
        self._owned: set[str] = set()
        self._origin: dict[str, FeedMessage] = {}
        self._lent: dict[str, _Held] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The feeds of this run, in the order they were given."""
        return tuple(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def message(self, name: str) -> FeedMessage:
        """A feed to read. Other forks may share it: what changes it must come from ``edit``.

        A step that changes it all the same is found out by ``changed_since`` and fails.

        Raises:
            ConfigurationError: This run has no such feed; ask with ``in`` first.
        """
        held = self._find(name)
        if name not in self._owned and name not in self._lent:
            if held.seal is None:
                held.seal = serialize_feed(held.message)
            self._lent[name] = held
        return held.message

    def edit(self, name: str) -> FeedMessage:
        """A feed to change: a copy of this fork's own, the same one at each call.

        Raises:
            ConfigurationError: This run has no such feed; ask with ``in`` first.
        """
        if name not in self._owned:
            copy = FeedMessage()
            copy.CopyFrom(self._find(name).message)
            self._origin[name] = self._held[name].message
            self._held[name] = _Held(copy)
            self._owned.add(name)
        return self._held[name].message

    def to_bytes(self, name: str) -> bytes:
        """A feed for publishing: as the vendor sent it if no step edited it and its bytes are known.

        Raises:
            UnreadableMessageError: A step left the message without a required field.
        """
        held = self._find(name)
        return serialize_feed(held.message) if held.body is None else held.body

    def fork(self) -> Self:
        fork = type(self)({})
        fork._held = dict(self._held)
        return fork

    def row_counts(self) -> Mapping[str, int]:
        """Entities by feed name."""
        return {name: len(held.message.entity) for name, held in self._held.items()}

    def row_changes(self) -> Mapping[str, RowChanges]:
        """Entities by feed name, told by their ids, that this fork's edits removed and added."""
        return {name: _entity_changes(self._origin[name], self._held[name].message) for name in self._owned}

    def changed_since(self, other: Self) -> frozenset[str]:
        """Names of the feeds that were edited since ``other`` was forked.

        Raises:
            StepDefinitionError: A message that was lent for reading was changed, and with it the other forks.
        """
        for name, held in self._lent.items():
            if serialize_feed(held.message) != held.seal:
                raise StepDefinitionError(
                    f"{name}: the step changed what message({name!r}) gave it to read; change edit({name!r}) instead"
                )
        return frozenset(
            name for name in self._held.keys() | other._held.keys() if self._held.get(name) is not other._held.get(name)
        )

    def _find(self, name: str) -> _Held:
        held = self._held.get(name)
        if held is None:
            raise ConfigurationError(f"there is no feed {name!r} in this run; there is {', '.join(self._held)}")
        return held


def _entity_changes(before: FeedMessage, after: FeedMessage) -> RowChanges:
    ids_before, ids_after = (Counter(entity.id for entity in message.entity) for message in (before, after))
    removed = ids_before - ids_after
    return RowChanges(
        removed=removed.total(), added=(ids_after - ids_before).total(), removed_sample=tuple(removed)[:SAMPLE_SIZE]
    )
