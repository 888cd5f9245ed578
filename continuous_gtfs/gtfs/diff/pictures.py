"""A diff as pictures (PNG): trips by service date, and a map of stops. The same diff gives the same bytes.

matplotlib is imported where a picture is drawn, and its global state (pyplot) is never touched. Colours are those of
Okabe and Ito, which people with any colour vision tell apart; shapes and dashes say the same once more.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import cos, radians
from statistics import median
from typing import TYPE_CHECKING, Any

from continuous_gtfs.gtfs.diff.report import FeedDiff, Place, StopPlaces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 90
_BEFORE, _AFTER, _ADDED, _REMOVED, _MOVED, _KEPT = "#D55E00", "#0072B2", "#0072B2", "#D55E00", "#009E73", "#8C8C8C"
_MAP_SHAPE = 1.4
"""Width of the map by its height, so that a line of stops from north to south leaves room for the scale below it."""
_BEYOND = 5
"""How many times as far out as nearly all stops a stop may lie to be on the map."""


def trips_by_date_png(diff: FeedDiff) -> bytes:
    """Trips on each service date, before and after."""
    figure, axes = _canvas(8.0, 3.6)
    service = diff.service
    days = [day for day, _, _ in service.by_date]
    before = [count for _, count, _ in service.by_date if count is not None]
    after = [count for _, _, count in service.by_date if count is not None]
    if not days or not (before or after):
        _say(axes, service.could_not_tell_before or service.could_not_tell_after or "No trip runs on any date")
    else:
        _draw_days(axes, days, before, after)
    axes.set_title("Trips per service date, before and after", loc="left", fontsize=11)
    return _png(figure)


def stops_map_png(diff: FeedDiff) -> bytes:
    """Where stops were added, removed and moved, among all the others."""
    figure, axes = _canvas(8.0, 6.0)
    places = diff.stops.places
    ends = [place for pair in places.moved for place in pair]
    everywhere = [*places.kept, *places.added, *places.removed, *ends]
    title = "Stops added, removed and moved"
    if not everywhere:
        _say(axes, diff.stops.could_not_tell or "No stop says where it is")
    else:
        beyond = _draw_stops(axes, places, everywhere)
        title += f" ({beyond:,} far outside the map)" if beyond else ""
    axes.set_title(title, loc="left", fontsize=11)
    return _png(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _say(axes: Axes, text: str) -> None:
    """Why there is nothing to see; no text of a feed is read as a formula."""
    axes.set_axis_off()
    plain = "".join(character if character.isprintable() else " " for character in text)
    axes.text(0.5, 0.5, plain[:160], ha="center", va="center", wrap=True, parse_math=False, fontsize=10)


def _draw_days(axes: Axes, days: Sequence[object], before: Sequence[int], after: Sequence[int]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    numbers = [float(number) for number in date2num(days)]
    edges = [*(number - 0.5 for number in numbers), numbers[-1] + 0.5]
    if after:
        axes.stairs(after, edges, color=_AFTER, linewidth=1.6, fill=False, baseline=None, label="after")
    if before:
        axes.stairs(before, edges, color=_BEFORE, linewidth=1.4, linestyle=(0, (3, 2)), baseline=None, label="before")
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max([1, *before, *after]) * 1.08)
    axes.set_xlabel("Service date", fontsize=9)
    axes.set_ylabel("Trips", fontsize=9)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9, reverse=True)


def _draw_stops(axes: Axes, places: StopPlaces, everywhere: Sequence[Place]) -> int:
    """Draw the map; gives how many stops lie too far out to be on it."""
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    (left, right), (low, high) = (_span([place[axis] for place in everywhere]) for axis in (0, 1))
    # A degree of longitude is that much shorter than one of latitude.
    shorter = max(cos(radians((low + high) / 2)), 0.05)
    width, height = right - left, (high - low) / shorter
    left, right = _widened(left, right, height * _MAP_SHAPE)
    low, high = _widened(low, high, width / _MAP_SHAPE * shorter)
    _scatter(axes, places.kept, f"the same place ({len(places.kept):,})", marker=".", s=16, color=_KEPT, linewidths=0)
    _scatter(
        axes, places.removed, f"removed ({len(places.removed):,})", marker="x", s=34, color=_REMOVED, linewidths=1.5
    )
    _scatter(axes, places.added, f"added ({len(places.added):,})", marker="+", s=48, color=_ADDED, linewidths=1.5)
    if places.moved:
        axes.add_collection(LineCollection([list(pair) for pair in places.moved], colors=_MOVED, linewidths=1.2))
        ends = [now for _, now in places.moved]
        label = f"moved, marked where it is now ({len(ends):,})"
        _scatter(axes, ends, label, marker="o", s=22, facecolors="none", edgecolors=_MOVED, linewidths=1.3)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    axes.set_aspect(1 / shorter, adjustable="box")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6))
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.set_xlabel("Longitude (degrees)", fontsize=9)
    axes.set_ylabel("Latitude (degrees)", fontsize=9)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False, fontsize=9, markerscale=1.3)
    return sum(not (left <= lon <= right and low <= lat <= high) for lon, lat in everywhere)


def _scatter(axes: Axes, places: Sequence[Place], label: str, **style: Any) -> None:
    if places:
        axes.scatter([place[0] for place in places], [place[1] for place in places], label=label, **style)


def _widened(first: float, last: float, least: float) -> tuple[float, float]:
    lacking = max(least - (last - first), 0.0) / 2
    return first - lacking, last + lacking


def _span(numbers: Sequence[float]) -> tuple[float, float]:
    """From the first to the last, less what lies so far out that it would shrink all else to a dot."""
    middle = median(numbers)
    distances = sorted(abs(number - middle) for number in numbers)
    usual = distances[int(0.95 * (len(distances) - 1))]
    shown = [number for number in numbers if abs(number - middle) <= _BEYOND * usual]
    margin = max((max(shown) - min(shown)) * 0.04, 0.002)
    return min(shown) - margin, max(shown) + margin
