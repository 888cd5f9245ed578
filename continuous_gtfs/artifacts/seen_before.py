"""What sweeps remember between passes: since when each object has been found to be owed to nothing.

An object that nothing refers to may belong to a run that is about to refer to it. So a sweep removes only what passes
hours apart have found so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from continuous_gtfs.artifacts.store import ObjectNotFoundError, PreconditionFailedError, Store


@dataclass(slots=True)
class SeenBefore:
    """The memory of one kind of sweep: read when it is made, written by ``save``.

    Args:
        key: In a store that is not open to the public.
        now: POSIX seconds.
        keep_s: How long something must have been seen before it is old enough.
    """

    store: Store
    key: str
    now: float
    keep_s: float
    _known: dict[str, float] = field(init=False)
    _seen: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        try:
            known = json.loads(self.store.read(self.key))
            self._known = {str(name): float(since) for name, since in known.items()}
        except (ObjectNotFoundError, ValueError, TypeError, AttributeError):
            # Where that cannot be read nothing was seen: all waits begin anew.
            self._known = {}

    def is_old(self, name: str) -> bool:
        """Whether it has been seen for long enough. If not it is remembered as seen."""
        # A clock that was set back starts the wait anew rather than make it endless.
        since = min(self._known.get(name, self.now), self.now)
        if self.now - since >= self.keep_s:
            return True
        self._seen[name] = since
        return False

    @property
    def waiting(self) -> int:
        """How many have been seen in this pass, and not for long enough."""
        return len(self._seen)

    def save(self) -> None:
        """Remember what this pass has seen, and nothing else."""
        found = self.store.stat(self.key)
        if not self._seen and found is None:
            return
        try:
            self.store.replace(
                self.key,
                json.dumps(self._seen, indent=1).encode(),
                if_generation=found.generation if found else None,
                content_type="application/json",
            )
        except PreconditionFailedError:
            # Another sweep at the same time has written what it saw, which is the same.
            return
