"""Which problems are open, and what is told of them: once when one begins, again after hours, and when it has ended.

Pure: ``now`` is an argument, in POSIX seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from continuous_gtfs.alerts.problems import Change, Notice, Problem

REMIND_AFTER_S = 6 * 3600.0
# A problem that comes back within this was never gone: what flaps is told of once.
HELD_S = 180.0
# The ledger lies in a sensor's cursor, which is read and written at each tick.
MOST_OPEN = 200


@dataclass(slots=True, kw_only=True)
class Open:
    """A problem that has been told of; ``gone_since`` is None while it is seen."""

    problem: Problem
    told_at: float
    gone_since: float | None = None


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The open problems by key. Settling it with the same problems again gives no notice again."""

    open: dict[str, Open] = field(default_factory=dict)

    def settle(self, seen: Iterable[Problem], *, unseen_kinds: Collection[str] = (), now: float) -> list[Notice]:
        """What is to be told of now.

        Args:
            seen: Every problem there is.
            unseen_kinds: Kinds that could not be looked at: what is open of them stays so.
        """
        notices = []
        current = {problem.key: problem for problem in self._bounded(seen, now)}
        for key, problem in current.items():
            known = self.open.get(key)
            if known is None or problem.severity.rank > known.problem.severity.rank:
                self.open[key] = Open(problem=problem, told_at=now)
                notices.append(Notice(change=Change.BEGAN, problem=problem, at=now))
                continue
            known.gone_since = None
            if now - known.told_at >= REMIND_AFTER_S:
                known.problem, known.told_at = problem, now
                notices.append(Notice(change=Change.STILL, problem=problem, at=now))
        for key in [key for key in self.open if key not in current]:
            known = self.open[key]
            if known.problem.kind in unseen_kinds:
                continue
            if known.gone_since is None:
                known.gone_since = now
            elif now - known.gone_since >= HELD_S:
                del self.open[key]
                notices.append(Notice(change=Change.ENDED, problem=known.problem, at=known.gone_since))
        return notices

    def _bounded(self, seen: Iterable[Problem], now: float) -> list[Problem]:
        """At most ``MOST_OPEN``: those that are open already, then the gravest; the others are one problem together."""
        problems = {problem.key: problem for problem in seen}
        if len(problems) <= MOST_OPEN:
            return list(problems.values())
        ranked = sorted(problems.values(), key=lambda one: (one.key not in self.open, -one.severity.rank))
        kept, rest = ranked[: MOST_OPEN - 1], ranked[MOST_OPEN - 1 :]
        summary = f"there are {len(rest)} more problems than can be kept: continuous-gtfs status"
        severity = max((one.severity for one in rest), key=lambda one: one.rank)
        return [*kept, Problem(kind="more", subject="problems", severity=severity, summary=summary, since=now)]

    def to_dict(self) -> dict[str, Any]:
        return {
            key: {"problem": one.problem.to_dict(), "told_at": one.told_at, "gone_since": one.gone_since}
            for key, one in self.open.items()
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Ledger:
        return cls(
            open={
                key: Open(
                    problem=Problem.from_dict(one["problem"]), told_at=one["told_at"], gone_since=one["gone_since"]
                )
                for key, one in fields.items()
            }
        )
