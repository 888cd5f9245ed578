"""What an alert is about. Data only; when it is told of is the ledger's matter (``ledger``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

LONGEST_TEXT = 400
"""Of a subject or a summary, in characters."""


class Severity(StrEnum):
    """How soon a person should look, the mildest first."""

    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong now.

    Attributes:
        kind: ``run``, ``check``, ``age``, ``tick``, ``silent``, ``disk``, ``could_not_look`` or ``more``.
        subject: What it is wrong with; kind and subject together are one problem, however often it is seen.
        summary: One sentence. A feed may have decided what is in it: it is made harmless where it is shown.
        since: POSIX seconds.
        page: Path of the page in the web interface that shows it; blank for none.
        do: What to do: a section of docs/operations.md.
    """

    kind: str
    subject: str
    severity: Severity
    summary: str
    since: float
    page: str = ""
    do: str = ""

    def __post_init__(self) -> None:
        # It is kept in a sensor's cursor: an error's message can be as long as a feed.
        for name in ("subject", "summary"):
            told = getattr(self, name)
            if len(told) > LONGEST_TEXT:
                object.__setattr__(self, name, told[: LONGEST_TEXT - 1] + "…")

    @property
    def key(self) -> str:
        return f"{self.kind} {self.subject}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Problem:
        return cls(**{**fields, "severity": Severity(fields["severity"])})


class Change(StrEnum):
    """Why a notice is sent."""

    BEGAN = "began"
    STILL = "still"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell of a problem; ``at`` in POSIX seconds."""

    change: Change
    problem: Problem
    at: float

    def to_dict(self) -> dict[str, Any]:
        return {"change": self.change.value, "problem": self.problem.to_dict(), "at": self.at}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Notice:
        return cls(change=Change(fields["change"]), problem=Problem.from_dict(fields["problem"]), at=fields["at"])
