"""How notices read: one message for all that there is to tell, however many problems a storm has brought."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from continuous_gtfs.alerts.problems import Change, Notice, Problem, Severity
from continuous_gtfs.foreign_text import shown

MOST_TOLD = 10
_LONGEST = 300
_NO_WIDTH = "\u200b"
_MARKS = {Change.BEGAN: "began", Change.STILL: "still so", Change.ENDED: "ended"}


def title(notices: Sequence[Notice]) -> str:
    """One line: what has happened to how many problems."""
    if len(notices) == 1:
        return f"continuous_gtfs: {_head(notices[0])}"
    counts = {change: sum(notice.change is change for notice in notices) for change in Change}
    return "continuous_gtfs: " + ", ".join(f"{n} {_MARKS[change]}" for change, n in counts.items() if n)


def text(notices: Sequence[Notice], *, ui_url: str) -> str:
    """All of them as plain text, the gravest first, and of more than ``MOST_TOLD`` the number of the rest."""
    told = sorted(notices, key=lambda notice: (notice.change is Change.ENDED, -notice.problem.severity.rank))
    parts = [_paragraph(notice, ui_url) for notice in told[:MOST_TOLD]]
    if len(told) > MOST_TOLD:
        parts.append(f"and {len(told) - MOST_TOLD} more: continuous-gtfs alerts list")
    return "\n\n".join(parts)


def webhook_body(notices: Sequence[Notice], *, ui_url: str) -> dict[str, Any]:
    """What Slack and what is compatible with it take: ``text``, and the same as plain-text blocks."""
    body = text(notices, ui_url=ui_url)
    blocks = [
        {"type": "section", "text": {"type": "plain_text", "text": part, "emoji": False}} for part in body.split("\n\n")
    ]
    return {"text": f"{_slack(title(notices))}\n\n{_slack(body)}", "blocks": blocks}


def _head(notice: Notice) -> str:
    problem = notice.problem
    if notice.change is Change.ENDED:
        return f"ended: {_shown(problem.subject)}"
    still = "still " if notice.change is Change.STILL else ""
    return f"{still}{'ERROR' if problem.severity is Severity.ERROR else 'warning'}: {_shown(problem.subject)}"


def _paragraph(notice: Notice, ui_url: str) -> str:
    problem = notice.problem
    lines = [_head(notice), _shown(problem.summary), f"since {_utc(problem.since)}"]
    if notice.change is Change.ENDED:
        lines[-1] += f", until {_utc(notice.at)}"
    elif problem.do:
        lines.append(f"what to do: {problem.do}")
    if problem.page and ui_url:
        lines.append(f"{ui_url.rstrip('/')}{problem.page}")
    return "\n".join(lines)


def _shown(told: str) -> str:
    """On one line and of bounded length; what a chat makes of a text, a mention, a link or a picture, is undone.

    Webhooks that Slack is compatible with belong to Mattermost, Discord and others too, which read Markdown.
    """
    plain = shown(told, characters=_LONGEST)
    for what in ("@", "://", "www.", "]("):
        plain = plain.replace(what, f"{what[0]}{_NO_WIDTH}{what[1:]}")
    return plain


def _slack(told: str) -> str:
    """As Slack asks for it, so that no text becomes a link or a mention."""
    return told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def line(problem: Problem) -> str:
    """An open problem as a line of a terminal."""
    subject, summary = (shown(text, characters=_LONGEST) for text in (problem.subject, problem.summary))
    return f"{problem.severity.value:8} {_utc(problem.since)}  {subject}: {summary}"
