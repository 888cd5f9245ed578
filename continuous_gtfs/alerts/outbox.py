"""What has still to be delivered, for each destination: kept until it is taken, tried again with back-off.

A notice is at least once delivered: whoever keeps the outbox keeps it after each round, and a crash before that
repeats one message. Of each problem only the newest notice waits, and of all problems a bounded number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from continuous_gtfs.alerts.destinations import Destination
from continuous_gtfs.alerts.problems import Change, Notice
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs.pims.secrets import SecretSource

# What a storm brings within this is one message.
MESSAGE_EVERY_S = 60.0
_LONGEST_WAIT_S = 900.0
MOST_WAITING = 200
# A tick that does not end within a minute is cut off, and what it has learnt is lost. What is due and is not begun by
# then is begun by the next.
BEGUN_WITHIN_S = 20.0


@dataclass(slots=True, kw_only=True)
class Queue:
    """Of one destination; ``not_before`` in POSIX seconds, ``failures`` in a row."""

    waiting: dict[str, Notice] = field(default_factory=dict)
    not_before: float = 0.0
    failures: int = 0


@dataclass(slots=True, kw_only=True)
class Outbox:
    """The queues by the name of their destination."""

    queues: dict[str, Queue] = field(default_factory=dict)

    def put(self, places: Sequence[Destination], notices: Sequence[Notice]) -> None:
        """Queue the notices where they are wanted; what was queued for a place that is gone is dropped."""
        self.queues = {place.name: self.queues.get(place.name, Queue()) for place in places}
        for place in places:
            waiting = self.queues[place.name].waiting
            for notice in filter(place.wants, notices):
                # Behind what waits already: what is dropped is the oldest.
                waiting.pop(notice.problem.key, None)
                waiting[notice.problem.key] = notice
            while len(waiting) > MOST_WAITING:
                ended = (key for key, notice in waiting.items() if notice.change is Change.ENDED)
                del waiting[next(ended, next(iter(waiting)))]

    def deliver(
        self, places: Sequence[Destination], *, environ: Mapping[str, str], secrets: SecretSource, now: float
    ) -> list[str]:
        """One message to each place that has something waiting and is due; what failed, one sentence each."""
        failed = []
        begun = time.monotonic()
        # One that hangs comes behind those that took the last message.
        for place in sorted(places, key=lambda one: self.queues[one.name].failures):
            queue = self.queues[place.name]
            if time.monotonic() - begun > BEGUN_WITHIN_S:
                break
            # A clock that was set back by a day holds nothing up for a day.
            if not queue.waiting or 0 < queue.not_before - now <= _LONGEST_WAIT_S:
                continue
            try:
                place.send(list(queue.waiting.values()), environ=environ, secrets=secrets)
            except ContinuousGtfsError as error:
                queue.failures += 1
                queue.not_before = now + min(30.0 * 2 ** min(queue.failures - 1, 10), _LONGEST_WAIT_S)
                failed.append(f"{error} ({queue.failures} in a row, {len(queue.waiting)} waiting)")
            else:
                queue.waiting, queue.failures, queue.not_before = {}, 0, now + MESSAGE_EVERY_S
        return failed

    def to_dict(self) -> dict[str, Any]:
        return {
            name: {
                "waiting": [notice.to_dict() for notice in queue.waiting.values()],
                "not_before": queue.not_before,
                "failures": queue.failures,
            }
            for name, queue in self.queues.items()
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Outbox:
        outbox = cls()
        for name, queue in fields.items():
            notices = [Notice.from_dict(one) for one in queue["waiting"]]
            outbox.queues[name] = Queue(
                waiting={notice.problem.key: notice for notice in notices},
                not_before=queue["not_before"],
                failures=queue["failures"],
            )
        return outbox
