"""Steps that remove routes, trips, stops or services with everything that refers to them.

What a row of another file says of the removed thing goes with it, to a fixpoint, each row once: see ``cascade``. What
is left empty by the step (and by this step only) is removed, warned of or kept, as its policies say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, field
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.builtin.cascade import Cascade, Children, Policy
from continuous_gtfs.gtfs.builtin.selection import missing, require_where, select
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.keys import Keys
from continuous_gtfs.gtfs.service import CALENDAR, CALENDAR_DATES, agency_timezone, service_dates
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS
from continuous_gtfs.gtfs.where import Mask, Where
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext

_POLICIES = ("remove", "warn", "keep")
_STOP_TIMES = "stop_times.txt"
_ONE_STOP = 1


@dataclass(frozen=True)
class _Removal(Step[Feed]):
    """What the removals share: which rows, what goes with them, and the policies for what they leave empty.

    Attributes:
        where: A condition on the rows of the file; or give ``ids``.
        exclude: Rows that stay though they match.
        empty_trips: For trips without any stop time left; likewise for routes and services without trips, and for
            shapes that no trip follows any more. ``remove``, ``warn`` or ``keep``.
        required: Nothing to remove fails the run.
    """

    where: Where | None = None
    _: KW_ONLY
    ids: Iterable[str] | None = None
    exclude: Where | None = None
    empty_trips: Policy = "remove"
    empty_routes: Policy = "warn"
    empty_services: Policy = "remove"
    empty_shapes: Policy = "remove"
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(default=frozenset(PRIMARY_KEYS), init=False, repr=False)

    @property
    @abstractmethod
    def _place(self) -> tuple[str, str]:
        """The file and the id column that the step is about."""

    @property
    def counted_files(self) -> frozenset[str]:
        return frozenset({self._place[0]})

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"remove_{self._place[0].removesuffix('.txt')}")
        if isinstance(self.ids, str):
            raise StepDefinitionError(f"step {self.name}: ids={self.ids!r} is one text; give a list of ids")
        if self.ids is not None:
            # Sorted, since a set has another order in every process, and the hash of the step would follow it.
            ids = tuple(sorted(set(self.ids), key=str))
            if not ids or not all(isinstance(one, str) and one.strip() for one in ids):
                raise StepDefinitionError(f"step {self.name}: ids={ids!r}: give ids as text, none of them blank")
            object.__setattr__(self, "ids", ids)
        self._check_choice()
        for condition in (self.where, self.exclude):
            if condition is not None:
                require_where(self.name, condition)
        for what in ("trips", "routes", "services", "shapes"):
            policy = getattr(self, f"empty_{what}")
            if policy not in _POLICIES:
                raise StepDefinitionError(f"step {self.name}: empty_{what}={policy!r}; say remove, warn or keep")

    def _check_choice(self) -> None:
        if (self.where is None) == (self.ids is None):
            raise StepDefinitionError(f"step {self.name}: give a condition (where) or ids, one of the two")

    def apply(self, feed: Feed, context: StepContext) -> None:
        rows = self._rows(feed, context)
        if rows is not None:
            self._remove(feed, rows, context)

    def _remove(self, feed: Feed, rows: Mask, context: StepContext) -> None:
        cascade = self._cascade(feed)
        cascade.drop(self._place[0], rows)
        cascade.run(context)

    def _rows(self, feed: Feed, context: StepContext) -> Mask | None:
        file, column = self._place
        condition = self.where if self.where is not None else _IdIn(column, frozenset(self.ids or ()))
        rows = select(feed, file, condition, () if self.exclude is None else self.exclude.fields, self, context)
        if rows is None:
            return None
        self._report_unknown_ids(feed.keys(file, column).present(), context)
        if self.exclude is not None:
            rows &= ~self.exclude.matches(feed.raw(file))
        return rows

    def _report_unknown_ids(self, known: frozenset[str], context: StepContext) -> None:
        file, column = self._place
        unknown = [one for one in self.ids or () if one.strip() not in known]
        if unknown:
            message = f"{file} has no {column} {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}"
            severity: Literal["error", "warning"] = "error" if self.required else "warning"
            context.find(Finding(severity, "ids_unknown", message, file, len(unknown), tuple(unknown)))

    def _cascade(self, feed: Feed, children: Children = "remove") -> Cascade:
        policies: dict[str, Policy] = {
            "trips": self.empty_trips,
            "routes": self.empty_routes,
            "services": self.empty_services,
            "shapes": self.empty_shapes,
        }
        return Cascade(feed, policies=policies, children=children)


class _IdIn(Where):
    """The rows whose id is one of these, as a condition."""

    def __init__(self, field: str, ids: frozenset[str]) -> None:
        self._field = field
        self._ids = frozenset(one.strip() for one in ids)

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self._field})

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        found = keys(self._field).is_in(self._ids)
        return found, ~found


@dataclass(frozen=True)
class RemoveRoutes(_Removal):
    """Remove routes with their trips and all that is theirs alone.

    What is blank in its ``route_id`` concerns every route and stays: agency-wide attributions, fares for all routes,
    transfers between stops.
    """

    @property
    def _place(self) -> tuple[str, str]:
        return "routes.txt", "route_id"


@dataclass(frozen=True)
class RemoveTrips(_Removal):
    """Remove trips with their stop times, frequencies, transfers and all else that names them."""

    @property
    def _place(self) -> tuple[str, str]:
        return "trips.txt", "trip_id"


@dataclass(frozen=True)
class RemoveStops(_Removal):
    """Remove stops or stations with the stop times, transfers, pathways and all else that names them.

    Attributes:
        children: What becomes of the places in a removed station. ``remove`` takes them along. ``detach`` leaves
            stops and platforms without a parent; entrances, nodes and boarding areas cannot be without one and go.
    """

    _: KW_ONLY
    children: Children = "remove"

    @property
    def _place(self) -> tuple[str, str]:
        return "stops.txt", "stop_id"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.children not in ("remove", "detach"):
            raise StepDefinitionError(f"step {self.name}: children={self.children!r}; say remove or detach")

    def _cascade(self, feed: Feed, children: Children = "remove") -> Cascade:
        return super()._cascade(feed, self.children)

    def _remove(self, feed: Feed, rows: Mask, context: StepContext) -> None:
        if _STOP_TIMES in feed:
            feed.raw(_STOP_TIMES).load({"trip_id", "stop_id"} & set(feed.raw(_STOP_TIMES).columns))
        before = feed.fork()
        super()._remove(feed, rows, context)
        if _STOP_TIMES not in feed.changed_since(before):
            return
        lonely = sorted(_trips_with_one_stop(feed) - _trips_with_one_stop(before))
        if lonely:
            message = f"{len(lonely):,} trips have one stop left, so no one can ride them"
            context.find(
                Finding("warning", "trips_left_with_one_stop", message, "trips.txt", len(lonely), tuple(lonely))
            )


@dataclass(frozen=True)
class RemoveServices(_Removal):
    """Remove service from calendar.txt and calendar_dates.txt with its trips.

    Attributes:
        where: A condition on the rows of calendar.txt or calendar_dates.txt; a service goes if one of its rows
            matches. Give one of ``where``, ``ids``, ``never_active`` and ``expired_before``.
        never_active: Service that runs on no date at all, exceptions applied.
        expired_before: Service whose last date is before this one; ``"today"`` is the day of the run in the
            agency's timezone.
    """

    _: KW_ONLY
    never_active: bool = False
    expired_before: date | Literal["today"] | None = None

    @property
    def _place(self) -> tuple[str, str]:
        return CALENDAR, "service_id"

    @property
    def counted_files(self) -> frozenset[str]:
        return frozenset({CALENDAR, CALENDAR_DATES})

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", "remove_services")
        super().__post_init__()

    def _check_choice(self) -> None:
        given = [self.where is not None, self.ids is not None, self.never_active, self.expired_before is not None]
        if sum(given) != 1:
            raise StepDefinitionError(
                f"step {self.name}: give one of where, ids, never_active=True and expired_before; it has {sum(given)}"
            )

    def apply(self, feed: Feed, context: StepContext) -> None:
        places = [file for file in (CALENDAR, CALENDAR_DATES) if feed.has_column(file, "service_id")]
        if not places:
            missing(self, context, "file_missing", f"the feed has neither {CALENDAR} nor {CALENDAR_DATES}", CALENDAR)
            return
        known = frozenset().union(*(feed.keys(file, "service_id").present() for file in places))
        if self.ids is not None:
            self._report_unknown_ids(known, context)
        ids = self._chosen(feed, places, context) & known
        if self.exclude is not None:
            ids -= self._matching(feed, places, self.exclude)
        if not ids:
            missing(self, context, "nothing_matched", f"no service matches {self.name}", places[0])
            return
        cascade = self._cascade(feed)
        cascade.drop_ids("service", ids)
        cascade.run(context)

    def _chosen(self, feed: Feed, places: list[str], context: StepContext) -> frozenset[str]:
        if self.where is not None:
            return self._matching(feed, places, self.where)
        if self.ids is not None:
            return frozenset(one.strip() for one in self.ids)
        dates = service_dates(feed)
        if self.never_active:
            return frozenset(service_id for service_id, days in dates.items() if not days)
        before = self.expired_before
        if not isinstance(before, date):
            before = context.now.astimezone(ZoneInfo(agency_timezone(feed))).date()
        return frozenset(service_id for service_id, days in dates.items() if days and max(days) < before)

    def _matching(self, feed: Feed, places: list[str], condition: Where) -> frozenset[str]:
        able = [file for file in places if condition.fields <= set(feed.raw(file).columns)]
        if not able:
            raise StepDefinitionError(
                f"step {self.name}: neither {' nor '.join(places)} has all of {', '.join(sorted(condition.fields))}"
            )
        found = (feed.keys(file, "service_id").at(condition.matches(feed.raw(file))).present() for file in able)
        return frozenset().union(*found)


def _trips_with_one_stop(feed: Feed) -> frozenset[str]:
    if not feed.has_column(_STOP_TIMES, "trip_id"):
        return frozenset()
    trips = feed.keys(_STOP_TIMES, "trip_id")
    counts = np.bincount(trips.codes, minlength=len(trips.values))
    return frozenset(trips.values[code] for code in np.flatnonzero(counts == _ONE_STOP))
