"""What the demo shows: progress while it starts, then a table that keeps itself current. No facts are made here."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from continuous_gtfs.demo.activity import IN_PROGRESS, Activity, FeedActivity

LEFT = ("Feed", "Latest version", "Last run", "Published")
AGES_HEADING = "Age at publication, s\nlast  median  max"
STYLES = {"SUCCESS": "green", "FAILURE": "bold red", "CANCELED": "yellow"}


def build_table(activity: Activity, *, now: datetime, note: str | None) -> Table:
    """One row a feed: latest version, its age, the pipeline's last run, what is live, how old feeds went out."""
    table = Table(caption=note or f"{now:%H:%M:%S} UTC, Ctrl-C ends it", caption_justify="left")
    for heading in ("Feed", "Latest version", "Age", "Last run", "Published", "Age", AGES_HEADING):
        table.add_column(heading, no_wrap=True, justify="left" if heading in LEFT else "right")
    for feed_id, feed in activity.feeds.items():
        manifest = feed.manifest
        table.add_row(
            feed_id,
            feed.latest or "",
            _age(feed.latest_at, now),
            _last_run(activity, feed),
            manifest.objects[0].sha256[:12] if manifest else "",
            _age(manifest.published_at if manifest else None, now),
            _ages(feed),
        )
    return table


class PlainProgress:
    """Lines in place of the table, where nobody watches: what is new since the last look."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()

    def show(self, activity: Activity, note: str | None) -> None:
        for feed_id, feed in activity.feeds.items():
            if feed.first_publication_s is not None:
                self._tell(f"{feed_id}: first published after {feed.first_publication_s:.1f} s")
        for run in sorted(activity.runs.values(), key=lambda run: run.created):
            if run.status not in IN_PROGRESS:
                self._tell(f"run {run.run_id[:8]} of {run.job}: {run.status}")
        if note:
            self._tell(note)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            now = datetime.now(UTC)
            self._console.print(f"{now:%H:%M:%S} {line}", highlight=False, markup=False, soft_wrap=True)


def _last_run(activity: Activity, feed: FeedActivity) -> Text:
    runs = activity.runs_of(feed.pipeline)
    if not runs:
        return Text("")
    run = runs[0]
    took = f" {run.ended - run.created:.1f} s" if run.ended else ""
    return Text(f"{run.status}{took}", style=STYLES.get(run.status, "cyan"))


def _ages(feed: FeedActivity) -> Text:
    """In seconds; red where they are too old."""
    seconds = feed.ages.seconds
    if not seconds:
        return Text("")
    told = "  ".join(f"{age_s:.1f}" for age_s in (seconds[-1], median(seconds), max(seconds)))
    return Text(told, style="bold red" if feed.ages.holds is False else "")


def _age(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
