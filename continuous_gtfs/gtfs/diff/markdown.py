"""A diff as Markdown with its pictures inside, for the metadata of an asset.

The feeds' own texts are written so that no reader takes them for markup: whoever serves a feed must not be able to put
a link, a picture or a script on an operator's page.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

from continuous_gtfs.gtfs.diff.pictures import stops_map_png, trips_by_date_png
from continuous_gtfs.gtfs.diff.report import FeedDiff, FileDiff, Listed, RouteTrips
from continuous_gtfs.gtfs.diff.text import entity_line, file_notes, spans, trip_lines
from continuous_gtfs.gtfs.escaping import escaped

_FILES, _ROUTES, _ENTITIES = 30, 15, 10


def markdown(diff: FeedDiff, pictures: bool = True) -> str:
    """The diff for a page.

    Args:
        pictures: Whether trips by date and the map of stops go in, as data URIs of some 50 kB each.
    """
    if diff.is_same:
        return f"**The same content**: {len(diff.files_after)} files.\n"
    blocks = [_files(diff.files), *_trips(diff), *_service(diff, pictures), *_routes(diff), *_stops(diff, pictures)]
    return "\n\n".join(blocks) + "\n"


def _files(files: Iterable[FileDiff]) -> str:
    told = list(files)
    rows = [_file_row(file) for file in told[:_FILES]]
    if len(told) > _FILES:
        rows.append([f"and {len(told) - _FILES:,} more", "", "", "", "", ""])
    return _table(["file", "", "rows added", "removed", "changed", "notes"], rows, "llrrrl")


def _file_row(file: FileDiff) -> list[str]:
    counts = (
        [f"{count:,}" for count in (file.rows.added, file.rows.removed, file.rows.changed)] if file.rows else [""] * 3
    )
    return [escaped(file.file), file.status, *counts, escaped("; ".join(file_notes(file)))]


def _trips(diff: FeedDiff) -> Iterator[str]:
    trips = diff.trips
    if trips.could_not_tell:
        yield f"**Trips**: could not tell: {escaped(trips.could_not_tell)}"
        return
    lines = list(trip_lines(trips))
    if not lines:
        return
    yield f"**Trips**: {trips.before:,} before, {trips.after:,} after; {'; '.join(lines)}"
    routes = sorted(trips.by_route, key=_most_changed)
    kinds = ("before", "after", "added", "removed", "retimed", "rerouted", "renumbered")
    rows = [[escaped(one.route_id), *(f"{getattr(one, kind):,}" for kind in kinds)] for one in routes[:_ROUTES]]
    if len(routes) > _ROUTES:
        rows.append([f"and {len(routes) - _ROUTES:,} more", *[""] * len(kinds)])
    yield _table(["route", *kinds[:-1], "re-numbered"], rows, "lrrrrrrr")


def _most_changed(route: RouteTrips) -> tuple[int, str]:
    return -(route.added + route.removed + route.retimed + route.rerouted), route.route_id


def _service(diff: FeedDiff, pictures: bool) -> Iterator[str]:
    service = diff.service
    told = []
    reasons = (service.could_not_tell_before, service.could_not_tell_after)
    for side, reason, span in zip(("before", "after"), reasons, spans(service), strict=True):
        if reason:
            told.append(f"{side} could not tell: {escaped(reason)}")
        elif span is not None:
            told.append(f"{side} {span[0]} to {span[1]}")
    if told:
        yield f"**Service**: {'; '.join(told)}"
    if pictures:
        yield _picture("Trips per service date, before and after", trips_by_date_png(diff))


def _routes(diff: FeedDiff) -> Iterator[str]:
    routes = diff.routes
    yield from _listed(
        "Routes", routes.could_not_tell, {"added": routes.added, "removed": routes.removed, "changed": routes.changed}
    )


def _stops(diff: FeedDiff, pictures: bool) -> Iterator[str]:
    stops = diff.stops
    kinds = {"added": stops.added, "removed": stops.removed, "moved": stops.moved, "renamed": stops.renamed}
    yield from _listed("Stops", stops.could_not_tell, kinds)
    if pictures and (stops.added.count or stops.removed.count or stops.moved.count):
        yield _picture("Map of stops added, removed and moved", stops_map_png(diff))


def _listed(title: str, could_not_tell: str, kinds: Mapping[str, Listed]) -> Iterator[str]:
    if could_not_tell:
        yield f"**{title}**: could not tell: {escaped(could_not_tell)}"
        return
    items = []
    for kind, listed in kinds.items():
        items += [f"- {kind}: {escaped(entity_line(one))}" for one in listed.sample[:_ENTITIES]]
        if listed.count > _ENTITIES:
            items.append(f"- {kind}: and {listed.count - _ENTITIES:,} more")
    if items:
        yield f"**{title}**: " + ", ".join(f"{one.count:,} {kind}" for kind, one in kinds.items() if one.count)
        yield "\n".join(items)


def _table(header: list[str], rows: list[list[str]], align: str) -> str:
    marks = {"l": ":--", "r": "--:"}
    lines = [header, [marks[side] for side in align], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _picture(text: str, png: bytes) -> str:
    return f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})"
