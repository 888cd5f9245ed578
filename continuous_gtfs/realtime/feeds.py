"""RealtimeFeeds: the messages of one run, as something that a pipeline of steps can transform."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import ne
from typing import Self

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedHeader, FeedMessage

from continuous_gtfs.errors import ConfigurationError, StepDefinitionError
from continuous_gtfs.pipeline.results import SAMPLE_SIZE, RowChanges
from continuous_gtfs.realtime.messages import serialize_feed

VEHICLE_POSITIONS = "vehicle_positions"
TRIP_UPDATES = "trip_updates"

_MOST_TEXTS = 8
"""To look for more of them in the bytes takes longer than to go through the entities."""


class _Held:
    """One message as several forks share it, and what it takes to find out whether it is still the same.

    Attributes:
        body: The bytes that it was parsed from; None for what a step made.
        seal: Its bytes as written here, before anybody but its maker had it; None as long as its maker may still change
            it or nobody asked. Most vendors write a message as it is written here, so that the body mostly serves and
            nothing is made for it.
    """

    __slots__ = ("body", "message", "seal")

    def __init__(self, message: FeedMessage, body: bytes | None = None) -> None:
        self.message = message
        self.body = body
        self.seal: bytes | None = None

    def is_as_lent(self) -> bool:
        written = _written(self.message)
        if self.seal is None and self.body is not None:
            self.seal = written if written == self.body else _written(FeedMessage.FromString(self.body))
        return written == self.seal


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
            if held.seal is None and held.body is None:
                held.seal = _written(held.message)
            self._lent[name] = held
        return held.message

    def header(self, name: str) -> FeedHeader:
        """A copy of a feed's header. To look at no more than that, nothing of the feed has to be guarded.

        Raises:
            ConfigurationError: This run has no such feed; ask with ``in`` first.
        """
        header = FeedHeader()
        header.CopyFrom(self._find(name).message.header)
        return header

    def may_hold(self, name: str, texts: Iterable[str]) -> bool:
        """Whether one of the texts may stand anywhere in a feed; a step that looks for them can else leave it alone.

        Texts stand in the bytes as they are, and looking for a few there takes a fraction of going through the
        entities. True may be a coincidence, and is the answer too where there are too many texts to look for.

        Raises:
            ConfigurationError: This run has no such feed; ask with ``in`` first.
        """
        held = self._find(name)
        sought: list[str] = []
        for text in sorted(texts, key=len):
            if not any(shorter in text for shorter in sought):
                sought.append(text)
                if len(sought) > _MOST_TEXTS:
                    return True
        data = held.body or held.seal or _written(held.message)
        return any(text.encode() in data for text in sought)

    def edit(self, name: str) -> FeedMessage:
        """A feed to change: a copy of this fork's own, the same one at each call until ``changed_since``.

        Raises:
            ConfigurationError: This run has no such feed; ask with ``in`` first.
        """
        if name not in self._owned:
            held = self._find(name)
            copy = FeedMessage()
            copy.CopyFrom(held.message)
            self._origin.setdefault(name, held.message)
            self._held[name] = _Held(copy)
            self._owned.add(name)
        return self._held[name].message

    def to_bytes(self, name: str) -> bytes:
        """A feed for publishing: as the vendor sent it if no step edited it and its bytes are known.

        Raises:
            UnreadableMessageError: A step left the message without a required field.
        """
        held = self._find(name)
        made = held.body if held.body is not None else held.seal
        return serialize_feed(held.message) if made is None else made

    def fork(self) -> Self:
        fork = type(self)({})
        fork._held = dict(self._held)
        return fork

    def row_counts(self) -> Mapping[str, int]:
        """Entities by feed name."""
        return {name: len(held.message.entity) for name, held in self._held.items()}

    def row_changes(self) -> Mapping[str, RowChanges]:
        """Entities by feed name, told by their ids, that this fork's edits removed, added and changed."""
        return {name: _entity_changes(self._origin[name], self._held[name].message) for name in self._origin}

    def changed_since(self, other: Self) -> frozenset[str]:
        """Names of the feeds that were edited since ``other`` was forked. What was edited is finished with this.

        Raises:
            StepDefinitionError: A message that was lent for reading was changed, and with it the other forks.
            UnreadableMessageError: An edited message lacks a required field.
        """
        for name, held in self._lent.items():
            if not held.is_as_lent():
                raise StepDefinitionError(
                    f"{name}: the step changed what message({name!r}) gave it to read; change edit({name!r}) instead"
                )
        for name in self._owned:
            # Found out here, it is the fault of the step that did it.
            self._held[name].seal = serialize_feed(self._held[name].message)
        self._owned.clear()
        return frozenset(
            name for name in self._held.keys() | other._held.keys() if self._held.get(name) is not other._held.get(name)
        )

    def _find(self, name: str) -> _Held:
        held = self._held.get(name)
        if held is None:
            raise ConfigurationError(f"there is no feed {name!r} in this run; there is {', '.join(self._held)}")
        return held


def _entity_changes(before: FeedMessage, after: FeedMessage) -> RowChanges:
    ids_before, ids_after = ([entity.id for entity in message.entity] for message in (before, after))
    if ids_before == ids_after:
        return RowChanges(changed=sum(map(ne, before.entity, after.entity)))
    counts_before, counts_after = Counter(ids_before), Counter(ids_after)
    removed = counts_before - counts_after
    # Of an id that comes more than once, the last of both are the same entity, as consumers see it.
    kept: dict[str, list[FeedEntity]] = {}
    for entity in after.entity:
        kept.setdefault(entity.id, []).append(entity)
    return RowChanges(
        removed=removed.total(),
        added=(counts_after - counts_before).total(),
        changed=sum(entity != kept[entity.id].pop() for entity in before.entity[::-1] if kept.get(entity.id)),
        # Protobuf hands out bytes in place of text that is not UTF-8.
        removed_sample=tuple(one if isinstance(one, str) else repr(one) for one in list(removed)[:SAMPLE_SIZE]),
    )


def _written(message: FeedMessage) -> bytes:
    return message.SerializePartialToString(deterministic=True)
