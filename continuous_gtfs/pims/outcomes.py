"""What a fetch can end in. *Could not tell* is not *nothing new*: each is a type of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from continuous_gtfs.foreign_text import shown


@dataclass(frozen=True, slots=True)
class Body:
    """The vendor sent a whole body. Whether it is a feed is for the reader of that feed to say.

    Attributes:
        body: The bytes with any content encoding undone; left out of ``repr``.
        etag: As the vendor sent it, quotes included; hand it back with the next fetch.
        last_modified: As the vendor sent it; hand it back with the next fetch.
    """

    body: bytes = field(repr=False)
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class NotModified:
    """The vendor says that the version it was asked about is still the newest."""


@dataclass(frozen=True, slots=True)
class CouldNotTell:
    """The fetch says nothing about the feed: not that it changed, not that it did not.

    Attributes:
        kind: One of ``not_configured``, ``secrets_unavailable``, ``timeout``, ``unreachable``, ``bad_response``,
            ``server_error``,
            ``too_many_requests``, ``unauthorized``, ``not_found``, ``client_error``, ``unexpected_status``,
            ``unexpected_not_modified``, ``redirect_refused``, ``target_refused``, ``too_large``, ``truncated``,
            ``empty_body``, ``html_instead_of_feed``, ``bad_encoding``, ``repeats_secret``.
        reason: One sentence for an operator, with the feed's name; never holds a secret, nor what a log would obey.
        is_permanent: The same request again ends the same way until a person changes something.
        retry_after_s: How long the vendor asked to be left alone, not bounded here; None when it did not ask.
    """

    kind: str
    reason: str
    is_permanent: bool = False
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", shown(self.reason))


FetchOutcome = Body | NotModified | CouldNotTell
