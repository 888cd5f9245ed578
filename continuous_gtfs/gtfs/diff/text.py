"""A diff as a summary for people: a few dozen lines at most, whatever the feeds hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from continuous_gtfs.foreign_text import printable
from continuous_gtfs.gtfs.diff.report import FeedDiff, FileDiff, Listed, ServiceDiff, TripsDiff
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS

_FILES, _ENTITIES, _ROUTES, _NAME_CHARACTERS = 15, 3, 6, 60


def summary(diff: FeedDiff) -> str:
    """The whole diff, the same text for the same diff. Control characters of the feeds are left out."""
    if diff.is_same:
        return f"The same content: {len(diff.files_after)} files.\n"
    return "".join(f"{printable(line)}\n" for line in _lines(diff))


def _lines(diff: FeedDiff) -> Iterator[str]:
    yield f"{len(diff.files)} of {len({*diff.files_before, *diff.files_after})} files differ."
    for file in sorted(diff.files, key=lambda one: one.file not in PRIMARY_KEYS)[:_FILES]:
        yield f"  {file_line(file)}"
    yield from _and_more(len(diff.files), _FILES, "  ")
    yield from _entities(
        "Routes",
        diff.routes.could_not_tell,
        {
            "added": diff.routes.added,
            "removed": diff.routes.removed,
            "changed": diff.routes.changed,
        },
    )
    yield from _entities(
        "Stops",
        diff.stops.could_not_tell,
        {
            "added": diff.stops.added,
            "removed": diff.stops.removed,
            "moved": diff.stops.moved,
            "renamed": diff.stops.renamed,
            "changed in any way": diff.stops.changed,
        },
    )
    yield from _trips(diff.trips)
    yield from _service(diff.service)


def file_line(file: FileDiff) -> str:
    """One file in a line."""
    parts: list[str] = [file.status]
    rows = file.rows
    if rows is not None and file.status != "changed":
        parts.append(_counted(rows.added + rows.removed, "row"))
    elif rows is not None:
        kinds = {"added": rows.added, "removed": rows.removed, "changed": rows.changed}
        parts += [f"{_counted(count, 'row')} {kind}" for kind, count in kinds.items() if count]
    return f"{file.file}: {'; '.join([*parts, *file_notes(file)])}"


def file_notes(file: FileDiff) -> Iterator[str]:
    """What is to be said of a file beside the numbers of its rows."""
    if file.rows is None:
        yield "compared as bytes" + (f": {file.could_not_tell}" if file.could_not_tell else "")
        return
    if file.status == "changed" and file.columns_added:
        yield "columns added: " + ", ".join(file.columns_added)
    if file.status == "changed" and file.columns_removed:
        yield "columns removed: " + ", ".join(file.columns_removed)
    if file.rows.renumbered:
        yield f"{_counted(file.rows.renumbered, 'row')} the same but for a new trip_id"
    if file.rows.is_reordered:
        yield "the same rows in another order"


def trip_lines(trips: TripsDiff) -> Iterator[str]:
    """What became of the trips, one line for each kind."""
    kinds = {
        "added": trips.added,
        "removed": trips.removed,
        "with other times": trips.retimed,
        "with another route, direction or stops": trips.rerouted,
        "the same under a new trip_id": trips.renumbered,
    }
    for kind, listed in kinds.items():
        if listed.count:
            yield f"{listed.count:,} {kind}"


def _trips(trips: TripsDiff) -> Iterator[str]:
    if trips.could_not_tell:
        yield f"Trips: could not tell: {trips.could_not_tell}"
        return
    lines = list(trip_lines(trips))
    if not lines:
        return
    yield f"Trips: {trips.before:,} before, {trips.after:,} after"
    yield from (f"  {line}" for line in lines)
    routes = sorted(
        trips.by_route, key=lambda one: (-(one.added + one.removed + one.retimed + one.rerouted), one.route_id)
    )
    told = [one for one in routes if one.added or one.removed or one.retimed or one.rerouted]
    for one in told[:_ROUTES]:
        kinds = ("added", "removed", "retimed", "rerouted")
        said = ", ".join(f"{getattr(one, kind):,} {kind}" for kind in kinds if getattr(one, kind))
        yield f"  route {one.route_id[:_NAME_CHARACTERS]}: {said}"
    yield from _and_more(len(told), _ROUTES, "  ", "routes")


def _service(service: ServiceDiff) -> Iterator[str]:
    for side, reason in (("before", service.could_not_tell_before), ("after", service.could_not_tell_after)):
        if reason:
            yield f"Service {side}: could not tell: {reason}"
    running = spans(service)
    for side, span in zip(("before", "after"), running, strict=True):
        if span is not None:
            yield f"Service {side}: {span[0]} to {span[1]}"
    if running[0] is None or running[1] is None:
        return
    first, last = max(running[0][0], running[1][0]), min(running[0][1], running[1][1])
    differing = [day for day in service.by_date if first <= day[0] <= last and day[1] != day[2]]
    if first > last:
        yield "  no date that both cover"
    if not differing:
        return
    yield f"  other numbers of trips on {_counted(len(differing), 'date')} that both cover:"
    for day, before, after in differing[:_ENTITIES]:
        yield f"  {day} {day:%a}: {before:,} before, {after:,} after"
    yield from _and_more(len(differing), _ENTITIES, "  ")


def spans(service: ServiceDiff) -> tuple[tuple[date, date] | None, tuple[date, date] | None]:
    """The first and the last date with a trip, before and after."""
    before = [day for day, count, _ in service.by_date if count]
    after = [day for day, _, count in service.by_date if count]
    return (before[0], before[-1]) if before else None, (after[0], after[-1]) if after else None


def _entities(title: str, could_not_tell: str, kinds: Mapping[str, Listed]) -> Iterator[str]:
    if could_not_tell:
        yield f"{title}: could not tell: {could_not_tell}"
        return
    counts = [f"{listed.count:,} {kind}" for kind, listed in kinds.items() if listed.count]
    if not counts:
        return
    yield f"{title}: {', '.join(counts)}"
    for kind, listed in kinds.items():
        if kind.startswith("changed") and len(counts) > 1:
            continue
        for one in listed.sample[:_ENTITIES]:
            yield f"  {kind}: {entity_line(one)}"
        yield from _and_more(listed.count, _ENTITIES, "  ")


def entity_line(one: Mapping[str, Any]) -> str:
    """A route or a stop in a line."""
    told = [str(one[name]) for name in ("route_id", "stop_id") if name in one]
    names = [str(one[name]) for name in ("route_short_name", "route_long_name", "stop_name") if one.get(name)]
    if names:
        told.append(f"({' '.join(names)[:_NAME_CHARACTERS]})")
    if "metres" in one:
        told.append(f"{one['metres']:,} m")
    if "before" in one:
        told.append(f"{str(one['before'])[:_NAME_CHARACTERS]!r} is now {str(one['after'])[:_NAME_CHARACTERS]!r}")
    if "cells" in one:
        told.append("in " + ", ".join(one["cells"]))
    return " ".join(told)


def _and_more(count: int, told: int, indent: str, what: str = "") -> Iterator[str]:
    if count > told:
        yield f"{indent}and {count - told:,} more{' ' * bool(what)}{what}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
