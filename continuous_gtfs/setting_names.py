"""The names of all settings of ours, so that a misspelt one is not ignored without a word.

What each means stands in ``.env.example``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PREFIX = "CONTINUOUS_GTFS_"
NAMES = frozenset(
    {
        "CONTINUOUS_GTFS_AGENCY",
        "CONTINUOUS_GTFS_ALERT_URLS",
        "CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS",
        "CONTINUOUS_GTFS_ARCHIVE",
        "CONTINUOUS_GTFS_COMPUTE_LOGS",
        "CONTINUOUS_GTFS_CONTROL_TOKEN",
        "CONTINUOUS_GTFS_KEEP_FAILED_RUNS_DAYS",
        "CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS",
        "CONTINUOUS_GTFS_KEEP_SCHEDULE_RUNS_DAYS",
        "CONTINUOUS_GTFS_KEEP_TICKS_DAYS",
        "CONTINUOUS_GTFS_KEEP_UNNAMED_VERSIONS_HOURS",
        "CONTINUOUS_GTFS_METRICS_BIND",
        "CONTINUOUS_GTFS_PIPELINE_VERSION",
        "CONTINUOUS_GTFS_POSTGRES_URL",
        "CONTINUOUS_GTFS_PUBLISHED",
        "CONTINUOUS_GTFS_PUBLISHED_BIND",
        "CONTINUOUS_GTFS_READONLY_BIND",
        "CONTINUOUS_GTFS_REALTIME_HOST",
        "CONTINUOUS_GTFS_REALTIME_PORT",
        "CONTINUOUS_GTFS_SCHEDULE_HOST",
        "CONTINUOUS_GTFS_SCHEDULE_PORT",
        "CONTINUOUS_GTFS_SECRETS",
        "CONTINUOUS_GTFS_TABLES_ARE_THERE",
        "CONTINUOUS_GTFS_UI_URL",
        "CONTINUOUS_GTFS_VERSION",
    }
)
# Names that an agency has made for itself are hardly so close to one of ours.
_AS_CLOSE_AS = 0.8


def misspelt(environ: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is no setting but close to one.

    Args:
        environ: Names of environment variables.
    """
    unknown = sorted(name for name in environ if name.upper().startswith(PREFIX) and name not in NAMES)
    if unknown:
        # Hardly ever: no command's start is to pay for it.
        import difflib
    for name in unknown:
        short = name.upper().removeprefix(PREFIX)
        known = {each.removeprefix(PREFIX): each for each in NAMES}
        if close := difflib.get_close_matches(short, known, n=1, cutoff=_AS_CLOSE_AS):
            yield f"{name} is no setting and is ignored; did you mean {known[close[0]]}?"
