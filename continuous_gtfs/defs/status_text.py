"""The status as text for a terminal. Not here: what it is made of (``status``)."""

from __future__ import annotations

from continuous_gtfs.alerts.rendering import line
from continuous_gtfs.defs.status import Publication, Run, Status, is_fresh
from continuous_gtfs.foreign_text import printable


def status_text(status: Status) -> str:
    """What is live, then what is wrong, then what could not be read; ends with a line end."""
    lines: list[str] = []
    for one in status.published:
        lines += _publication(one)
    if "database" not in status.unreadable:
        late = [name for name, age_s in status.daemons.items() if not is_fresh(age_s)]
        lines.append("daemons          " + (f"no fresh heartbeat: {', '.join(late)}" if late else "all alive"))
        lines.append(f"stopped sensors  {', '.join(status.stopped) or 'none'}")
        lines.append(f"runs in flight   {len(status.in_flight)}")
        lines += [f"  {_run(run)}" for run in status.in_flight]
        lines.append(f"failed runs      {'the last ones:' if status.failed_runs else 'none'}")
        lines += [f"  {_run(run)}" for run in status.failed_runs]
        lines.append(f"failed checks    {len(status.failed_checks)}")
        lines += [f"  {line(check)}" for check in status.failed_checks]
        lines.append(f"failed ticks     {len(status.failed_ticks)}")
        lines += [f"  {line(tick)}" for tick in status.failed_ticks]
    lines += [f"{what} cannot be read: {' '.join(why.split())}" for what, why in status.unreadable.items()]
    return "".join(f"{printable(line)}\n" for line in lines)


def _publication(one: Publication) -> list[str]:
    if one.age_s is None:
        return [f"{one.name}: {one.state}"]
    header = "" if one.header_age_s is None else f", header {one.header_age_s:.0f} s old"
    inputs = ", ".join(f"{feed} {version}" for feed, version in one.inputs.items())
    return [
        f"{one.name}: {one.state}, published {one.age_s:.0f} s ago at {one.published_at}{header}",
        f"  {one.label} from {inputs or 'unknown inputs'}",
        f"  code {one.code_version}, pipeline {one.pipeline_version}, run {one.run_id}",
    ]


def _run(run: Run) -> str:
    since = "" if run.is_newest or run.status != "FAILURE" else " (a later run has ended since)"
    reason = "" if run.reason is None else f": {' '.join(run.reason.split())}"
    return f"{run.run_id[:8]} {run.pipeline} {run.created_at} {run.status}{since}{reason}"
