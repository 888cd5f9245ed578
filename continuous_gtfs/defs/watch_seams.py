"""What a tick of a PIMS sensor needs of the world, and what it gives back. No behaviour: that is in ``watch``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from continuous_gtfs.defs.decisions import RunFacts, Trigger
from continuous_gtfs.defs.health import FeedHealth
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.outcomes import Body, FetchOutcome
from continuous_gtfs.versions import FeedVersion

Fetch = Callable[[FeedSource, str | None, str | None], Awaitable[FetchOutcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """Seconds.

    Attributes:
        tick_s: A tick ends by then; under the 60 s limit of the sensor call. The last request of a tick that nothing
            goes on after has to end by then too.
        window_s: How long a feed that changed waits for its sibling at most.
        sibling_poll_s: How often the sibling is asked meanwhile where nothing is known of when it comes.
        run_poll_s: How often a run in flight is looked at while versions wait for its end.
        failing_after: Fetches in a row that could not tell before the feed is reported as failing.
        loop_s: From one round of the daemon's loop to the next; a tick begins at a round.
        lead_s: How long before a round a tick must end for the next one to begin at it.
        goes_on_s: How long after a tick the feeds are still asked if no other tick follows; 0 ends them with the tick.
    """

    tick_s: float = 45.0
    window_s: float = 2.0
    sibling_poll_s: float = 0.5
    run_poll_s: float = 0.5
    failing_after: int = 2
    loop_s: float = 5.0
    lead_s: float = 0.5
    goes_on_s: float = 20.0


USUAL_TIMING = WatchTiming()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The pipeline's earlier runs: the newest of all and the newest that succeeded."""

    last_run: RunFacts | None
    last_success: RunFacts | None


@dataclass(slots=True, kw_only=True)
class WatchResult:
    """What one tick found.

    Attributes:
        new_versions: In order of detection; each is in the archive.
        trigger: Why a run is asked for; None where none is.
        changed: Feeds whose newest version no earlier run was asked for.
        health: Checks of feeds that have another result than before.
    """

    new_versions: list[FeedVersion] = field(default_factory=list)
    trigger: Trigger | None = None
    changed: frozenset[str] = frozenset()
    health: list[FeedHealth] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """The seams of a tick.

    Attributes:
        fetch: Asks for one feed with the validators of the last answer.
        identify: Names the version that a body is; raises PermanentError where it is no such feed.
        save: Puts a version into the archive, before anything refers to it, and gives it as it is recorded there.
        history: The pipeline's earlier runs.

    All but ``fetch`` are called in threads, those for different feeds at the same time.
    """

    fetch: Fetch
    identify: Callable[[FeedSource, Body, datetime], FeedVersion]
    save: Callable[[FeedVersion, bytes], FeedVersion]
    history: Callable[[], History]
