"""Which feeds the vendor serves and how each may be asked for. Declarations only: nothing here asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from continuous_gtfs.errors import ConfigurationError


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
        poll_every_s: Seconds from one request to the next.
        timeout_s: Hard limit for one whole request, connection to last byte.
        max_bytes: A longer body is refused before it is read to its end.
        max_unzipped_bytes: A schedule whose files are longer together is refused; its zip may compress as well as it
            likes.
        max_members: A schedule whose zip holds more files is refused.
        redirect_hosts: Hosts (``name`` or ``name:port``) a redirect may lead to; none by default.
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

    def __post_init__(self) -> None:
        for name in ("poll_every_s", "timeout_s", "max_bytes", "max_unzipped_bytes", "max_members"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{self.feed_id}: {name} is {getattr(self, name)}; it must be above 0")

    @property
    def feed_id(self) -> str:
        """``<environment>/<feed>``, as in the asset key ``pims/<environment>/<feed>``."""
        return f"{self.environment}/{self.feed}"
