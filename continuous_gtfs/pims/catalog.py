"""Which feeds the vendor serves and how each may be asked for. Declarations only: nothing here asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from continuous_gtfs.errors import ConfigurationError

_ABOVE_ZERO = (
    "poll_every_s",
    "timeout_s",
    "max_bytes",
    "max_unzipped_bytes",
    "max_members",
    "most_requests",
    "request_window_s",
    "frozen_after_polls",
)


class FeedKind(StrEnum):
    """What a feed's bytes are."""

    SCHEDULE = "schedule"
    REALTIME = "realtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSource:
    """One feed of the vendor. URL and header values are templates, see ``pims.templates``.

    Attributes:
        environment: ``production`` or ``qa``.
        feed: ``schedule``, ``vehicle_positions``, ``trip_updates``.
        kind: What the bytes are.
        url: Template with ``${config:NAME}`` and ``${secret:NAME}``.
        headers: Header name to template.
        poll_every_s: Seconds from one request to the next, while the vendor's rhythm is not known or there is none.
        timeout_s: Hard limit for one whole request, connection to last byte.
        max_bytes: A longer body is refused before it is read to its end.
        max_unzipped_bytes: A schedule whose files are longer together is refused; its zip may compress as well as it
            likes.
        max_members: A schedule whose zip holds more files is refused.
        redirect_hosts: Hosts (``name`` or ``name:port``) a redirect may lead to; none by default.
        most_requests: At most so many requests begin in any ``request_window_s``, whatever the rhythm.
        request_window_s: Twelve times ``poll_every_s`` where it is None, which makes twice the fixed cadence the limit.
        is_published: A realtime feed that only steps read, such as another vendor's that ``CombineFeeds`` takes in, is
            fetched and archived like the others, and goes out under no name of its own.
        frozen_after_polls: A realtime feed whose header timestamp stays the same for so many answers, and for as long
            as they would take at the fixed cadence, is reported as frozen at the vendor.
    """

    environment: str
    feed: str
    kind: FeedKind
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    poll_every_s: float
    timeout_s: float
    max_bytes: int
    max_unzipped_bytes: int = 2 << 30
    max_members: int = 1000
    redirect_hosts: frozenset[str] = frozenset()
    most_requests: int = 24
    request_window_s: float | None = None
    is_published: bool = True
    frozen_after_polls: int = 24

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{self.feed_id}: {name} is {value}; it must be above 0")

    @property
    def feed_id(self) -> str:
        """``<environment>/<feed>``, as in the asset key ``pims/<environment>/<feed>``."""
        return f"{self.environment}/{self.feed}"
