"""What a PIMS sensor remembers from one tick to the next, kept as JSON in the sensor's cursor."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin, get_type_hints

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.polling import PollMemory
from continuous_gtfs.versions import FeedVersion

SCHEMA = 2
# What is older is read as it is: a feed's polling and its movement are then learnt anew.
_READABLE = (1, SCHEMA)
_RESET = (
    "reset the sensor's cursor in the user interface (it then fetches every feed once more; versions already archived "
    "stay)"
)


@dataclass(slots=True, kw_only=True)
class FeedMemory:
    """What is known of one feed.

    Attributes:
        version: The newest version seen; its bytes are in the archive.
        etag: Validator of the last body that was understood, for the next conditional request.
        last_modified: The same.
        outcomes: Fetches counted by what they gave: ``new``, ``unchanged``, ``older``, ``could_not_tell:<kind>``.
        failures_in_row: Fetches since the last one that could tell.
        failure: Why the last fetch could not tell; None after one that could.
        failure_is_permanent: A person must act; asking again will not help.
        reported_failing: What the feed's check was last reported as; None before the first report.
        reported_kind: The kind of failure that the check names.
        not_before: POSIX seconds before which the vendor is not to be asked again after a fault.
        cut_short: Requests in a row that a tick ended before the vendor had answered.
        polls: What the vendor's rhythm is learnt from.
        moved_to: The header timestamp seen last, or the version_id where there is none.
        moved_at: POSIX seconds at which it was first seen.
        unmoved: Answers since then that had the same.
        reported_frozen: What the check of the feed's movement was last reported as; None before the first report.
        older_in_row: Answers in a row that were older than ``version`` and left alone.
        older_since: POSIX seconds of the first of them.
    """

    version: FeedVersion | None = None
    etag: str | None = None
    last_modified: str | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    failures_in_row: int = 0
    failure: str | None = None
    failure_is_permanent: bool = False
    reported_failing: bool | None = None
    reported_kind: str | None = None
    not_before: float = 0.0
    cut_short: int = 0
    polls: PollMemory = field(default_factory=PollMemory)
    moved_to: str | None = None
    moved_at: float = 0.0
    unmoved: int = 0
    reported_frozen: bool | None = None
    older_in_row: int = 0
    older_since: float = 0.0

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


@dataclass(slots=True, kw_only=True)
class Cursor:
    """The memory of one sensor.

    Attributes:
        feeds: By feed name.
        requested: By feed name, the version_id that the last run request carried.
        requests: Run requests so far; makes every run key unique, since Dagster never asks twice for one key.
        polled_at: POSIX seconds of the end of the last tick that asked the vendor.
        process: Identity of the code server process of the last tick; another one means a start.
        is_run_seen: The last run request was seen to have become a run.
    """

    feeds: dict[str, FeedMemory]
    requested: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    polled_at: float = 0.0
    process: str | None = None
    is_run_seen: bool = False

    def waiting(self) -> frozenset[str]:
        """Feeds whose newest version no run request has carried yet."""
        return frozenset(
            feed
            for feed, memory in self.feeds.items()
            if memory.version is not None and memory.version.version_id != self.requested.get(feed)
        )

    @property
    def is_helpless(self) -> bool:
        """Whether asking again cannot help for any feed: a person must act."""
        return all(memory.failure_is_permanent for memory in self.feeds.values())

    def latest(self) -> dict[str, str]:
        """By feed, the version_id of the newest version seen."""
        return {feed: m.version.version_id for feed, m in self.feeds.items() if m.version is not None}

    def to_json(self) -> str:
        feeds = {feed: _memory_to_dict(memory) for feed, memory in self.feeds.items()}
        return json.dumps(
            {
                "schema": SCHEMA,
                "feeds": feeds,
                "requested": self.requested,
                "requests": self.requests,
                "polled_at": self.polled_at,
                "process": self.process,
                "is_run_seen": self.is_run_seen,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str | None, feeds: Iterable[str]) -> Cursor:
        """The cursor in ``text`` for these feeds; a feed that it does not know starts with an empty memory.

        What newer code of the same schema has added is ignored.

        Raises:
            ConfigurationError: It was written under a schema that this code does not read, or is no cursor.
        """
        names = tuple(feeds)
        if not text:
            return cls(feeds={feed: FeedMemory() for feed in names})
        try:
            found = json.loads(text)
            schema = found.get("schema")
            if schema in _READABLE:
                known = found["feeds"]
                if not isinstance(known, dict):
                    raise TypeError(f"feeds is {known!r}")
                return cls(
                    feeds={feed: _memory_from_dict(known[feed]) if feed in known else FeedMemory() for feed in names},
                    **_checked({"is_run_seen": False} | found, cls, without={"feeds"}),
                )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"the sensor's cursor is none ({type(error).__name__}: {error}), somebody has edited it: {_RESET}"
            ) from error
        raise ConfigurationError(f"the sensor's cursor has schema {schema!r}, this code reads {SCHEMA}: {_RESET}")


def _memory_to_dict(memory: FeedMemory) -> dict[str, Any]:
    return {
        "version": memory.version.to_dict() if memory.version else None,
        "etag": memory.etag,
        "last_modified": memory.last_modified,
        "outcomes": memory.outcomes,
        "failures_in_row": memory.failures_in_row,
        "failure": memory.failure,
        "failure_is_permanent": memory.failure_is_permanent,
        "reported_failing": memory.reported_failing,
        "reported_kind": memory.reported_kind,
        "not_before": memory.not_before,
        "cut_short": memory.cut_short,
        "polls": memory.polls.to_dict(),
        "moved_to": memory.moved_to,
        "moved_at": memory.moved_at,
        "unmoved": memory.unmoved,
        "reported_frozen": memory.reported_frozen,
        "older_in_row": memory.older_in_row,
        "older_since": memory.older_since,
    }


def _memory_from_dict(fields: dict[str, Any]) -> FeedMemory:
    version, polls = fields["version"], fields.get("polls")
    return FeedMemory(
        version=FeedVersion.from_dict(version) if version else None,
        polls=PollMemory.from_dict(polls) if polls else PollMemory(),
        **_checked(fields, FeedMemory, without={"version", "polls"}),
    )


def _checked(found: dict[str, Any], of: type[FeedMemory | Cursor], *, without: set[str]) -> dict[str, Any]:
    """The fields of ``of`` that ``found`` has.

    Raises:
        ValueError: The value of one is not what ``of`` has there; it would fail somewhere later.
    """
    checked = {}
    for name, hint in get_type_hints(of).items():
        if name in without or name not in found:
            continue
        value = found[name]
        kind = (int, float) if hint is float else get_origin(hint) if get_origin(hint) is dict else hint
        if not isinstance(value, kind) or (isinstance(value, dict) and not _is_flat(value, get_args(hint)[1])):
            raise ValueError(f"{name} is {value!r}")
        checked[name] = value
    return checked


def _is_flat(values: dict[str, Any], kind: type) -> bool:
    return all(isinstance(value, kind) for value in values.values())
