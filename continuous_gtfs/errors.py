"""The exception tree. Every leaf says whether a rerun can help.

A permanent error needs a person, new input or new code: the same run again fails the same way.
A transient error may pass by itself: the same run again can succeed.

    ContinuousGtfsError
    ├── PermanentError
    │   ├── ConfigurationError         what an operator wrote is missing or wrong
    │   ├── FeedStructureError         a GTFS Schedule feed cannot be read (file, line, column)
    │   ├── UnreadableMessageError     bytes that are not a GTFS-Realtime FeedMessage
    │   ├── StepDefinitionError        a step list or a step is not what it must be
    │   ├── StepFailedError            a step raised, or touched what it did not declare
    │   ├── GateFailedError            a blocking check stands between a feed and its publication
    │   └── ArchiveCorruptError        stored bytes do not have the digest they are stored under
    └── TransientError
        ├── StoreError                 the artifact store failed or is full; the last good object stays
        ├── SecretsUnavailableError    the service that keeps the secrets gave no answer
        └── PublicationConflictError   another writer kept moving the same object
"""

from typing import Any

from continuous_gtfs.foreign_text import shown


class ContinuousGtfsError(Exception):
    """Base of every error that this package raises on purpose; the message says what, where, what to do.

    It quotes names, ids and cells of feeds, and goes to logs, alerts, the web interface and terminals: as text it is
    one line of bounded length, with nothing in it that any of them obeys.
    """

    can_rerun_help: bool = False

    def __str__(self) -> str:
        return shown(super().__str__())


class PermanentError(ContinuousGtfsError):
    """The same run again fails the same way."""


class TransientError(ContinuousGtfsError):
    """The same run again can succeed."""

    can_rerun_help = True


class ConfigurationError(PermanentError):
    """What an operator wrote is missing or wrong; the message names the setting."""


class FeedStructureError(PermanentError):
    """A GTFS Schedule feed cannot be read. The message names file, line and column where there are any."""


class UnreadableMessageError(PermanentError):
    """Bytes that are not a GTFS-Realtime FeedMessage; the message names the feed and the first offence."""


class StepDefinitionError(PermanentError):
    """A step list holds something that is no step, or a step is declared wrongly."""


class StepFailedError(PermanentError):
    """A step raised, reported an error, or touched what it did not declare. Nothing after it ran.

    Attributes:
        result: The failed step's ``pipeline.results.StepResult``; untyped here, since errors know no layer.
        earlier: Those of the steps before it, where a list of steps was run.
    """

    def __init__(self, message: str, *, result: Any = None) -> None:
        super().__init__(message)
        self.result = result
        self.earlier: tuple[Any, ...] = ()


class GateFailedError(PermanentError):
    """A blocking check failed: nothing is published and the last good feed stays."""


class ArchiveCorruptError(PermanentError):
    """Stored bytes do not have the digest they are stored under."""


class StoreError(TransientError):
    """The artifact store failed (no space, no permission, no network); the last good object stays."""


class SecretsUnavailableError(TransientError):
    """The service that keeps the secrets gave no answer. Says nothing of whether it has the secret."""


class PublicationConflictError(TransientError):
    """Another writer moved the same object at every attempt."""
