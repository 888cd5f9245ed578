"""One round: a platform under load, kills by a plan, quiet, and what must hold then."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.settings import project_folder
from continuous_gtfs_tests.chaos import invariants
from continuous_gtfs_tests.chaos.busy_agency.feeds import EDITIONS_VARIABLE
from continuous_gtfs_tests.chaos.observer import EDITIONS, Observer
from continuous_gtfs_tests.chaos.stages import Kill
from continuous_gtfs_tests.chaos.stops import sitecustomize
from continuous_gtfs_tests.chaos.supervised import SupervisedPlatform, is_running
from continuous_gtfs_tests.chaos.timeline import Timeline
from continuous_gtfs_tests.chaos.vendor import Vendor

# Enough that something is under way at any moment; more would measure how two cores are shared.
REALTIME_EVERY_S = 4.0
SCHEDULE_EVERY_S = 60.0
REACHED_WITHIN_S = 45.0
RECOVERS_WITHIN_S = 300.0
QUIET_WITHIN_S = 180.0
STUCK_AFTER_S = 300.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Killed:
    """One kill and what came of it.

    Attributes:
        stage: Where.
        victims: Who died.
        realtime_s: Until a version that the vendor made after the kill was live of every realtime feed; None where the
            next kill did not wait for that.
        schedule_s: Until the schedule that the vendor had at the kill, or a newer one, was live; None likewise.
        burst: How many kills came one after another before all was well again.
    """

    stage: str
    victims: tuple[str, ...]
    realtime_s: float | None = None
    schedule_s: float | None = None
    burst: int = 1


@dataclass(slots=True)
class Round:
    """What a round found."""

    seed: int
    killed: list[Killed] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)
    faults: dict[str, dict[str, float]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Round:
        killed = [Killed(**(each | {"victims": tuple(each["victims"])})) for each in fields["killed"]]
        return cls(**(fields | {"killed": killed}))


class Campaign:
    """A running platform that things are done to.

    Args:
        state: A folder of its own.
        seed: Of the plan; kept with what was found.
        schedule_every_s: How often the vendor has a new schedule; only on demand when None.
        names: Which processes there are.
        editions: Of which the agency has feeds.
        environment: Further settings of the processes.
        every_stage: Whether a stage that no process comes to, in the time that recovery may take, breaks an invariant;
            otherwise it is passed over after a while.
    """

    def __init__(
        self,
        state: Path,
        *,
        seed: int,
        schedule_every_s: float | None = SCHEDULE_EVERY_S,
        names: Sequence[str] = commands.ALL,
        editions: Sequence[str] = EDITIONS,
        environment: Mapping[str, str] | None = None,
        every_stage: bool = False,
    ) -> None:
        self._every_stage = every_stage
        self.timeline = Timeline()
        self.round = Round(seed)
        self.editions = tuple(editions)
        self._folder = state / "chaos"
        for name in ("armed", "held"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        paths = [str(Path(sitecustomize.__file__).parent), str(project_folder())]
        self.platform = SupervisedPlatform(
            state,
            self.timeline,
            realtime_every_s=REALTIME_EVERY_S,
            schedule_every_s=schedule_every_s,
            names=names,
            environment={
                "CONTINUOUS_GTFS_AGENCY": "continuous_gtfs_tests.chaos.busy_agency",
                EDITIONS_VARIABLE: " ".join(self.editions),
                "PYTHONPATH": os.pathsep.join(paths),
                sitecustomize.FOLDER: str(self._folder),
                **(environment or {}),
            },
        )
        self.vendor = Vendor(self.platform.url(commands.SIMULATOR), self.editions)
        published = self.platform.environment["CONTINUOUS_GTFS_PUBLISHED"]
        self.store = LocalStore(Path(published))
        self._archive_url = self.platform.environment["CONTINUOUS_GTFS_ARCHIVE"]
        host = self.platform.url(commands.PUBLISHED).removeprefix("http://")
        self.observer = Observer(Path(published), host, self.timeline, self.editions)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start, watch, and at the end stop; the invariants that need no platform are looked at after that."""
        with ExitStack() as stack:
            stack.enter_context(self.platform)
            stack.enter_context(self.vendor)
            stack.enter_context(self.observer.watching())
            self.wait(
                lambda: all(map(self.observer.live, (*self.observer.realtime, *self.observer.schedules))),
                120,
                "a first publication of all",
            )
            yield
        for line in invariants.orphans(str(self._folder)):
            self.timeline.broken(line)
        self.round.broken, self.round.evidence = self.timeline.faults, self.timeline.evidence()

    def wait(self, condition: Callable[[], object], timeout_s: float, what: str) -> float | None:
        """Seconds until a condition holds; None, and an invariant broken, where it does not in time."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > timeout_s:
                self.timeline.broken(f"not in {timeout_s:g} s: {what}")
                return None
            time.sleep(POLL_S)
        return time.monotonic() - began

    def kill(self, kills: Sequence[Kill]) -> str:
        """Kill at each of these stages, in the order in which they are come to, then wait until all is well again.

        Gives a line on it.
        """
        struck = list(self._strike(kills))
        if not struck:
            return f"{', '.join(kill.stage for kill in kills)}: not reached"
        at = time.time()
        schedules = self.vendor.schedules_now()
        told = "; ".join(f"{', '.join(killed.victims)} at {killed.stage}" for killed in struck)
        limit_s = RECOVERS_WITHIN_S
        realtime_s = self.wait(lambda: self.is_realtime_after(at), limit_s, f"realtime after the kill of {told}")
        schedule_s = None
        if any(kill.pipeline == "schedule" for kill in kills):
            rest_s = self.wait(lambda: self.are_live(schedules), limit_s, f"schedule after the kill of {told}")
            schedule_s = time.time() - at if rest_s is not None else limit_s
        struck[-1] = replace(struck[-1], realtime_s=realtime_s or limit_s, schedule_s=schedule_s)
        self.round.killed += [replace(killed, burst=len(struck)) for killed in struck]
        line = f"{told}: realtime {_seconds(realtime_s)}, schedule {_seconds(schedule_s)}"
        self.timeline.note("recovered", line)
        return line

    def _strike(self, kills: Sequence[Kill]) -> Iterator[Killed]:
        """Kill whenever a process has come to one of these stages, until none is left or none is come to in time.

        All stages are armed at once: what is killed at one of them delays all others.
        """
        left = {kill.stage: kill for kill in kills}
        for stage in left:
            self._arm(stage)
        while left:
            if any(kill.pipeline == "schedule" for kill in left.values()):
                self.vendor.new_schedule(self.editions[self.round.seed % len(self.editions)])
            # A kill just before, of everything perhaps, delays what is left by a whole recovery.
            deadline = time.monotonic() + (RECOVERS_WITHIN_S if self._every_stage else REACHED_WITHIN_S)
            while (killed := self._strike_one(left)) is None and time.monotonic() < deadline:
                time.sleep(POLL_S)
            if killed is None:
                break
            del left[killed.stage]
            yield killed
        for stage in left:
            self._disarm(stage)
            self.round.not_reached.append(stage)
            self.timeline.note("not reached", stage)
            if self._every_stage:
                self.timeline.broken(f"no process came to {stage} in {RECOVERS_WITHIN_S:g} s")

    def _strike_one(self, kills: Mapping[str, Kill]) -> Killed | None:
        """Kill at the first stage where a process waits; None where none does."""
        for held in (self._folder / "held").iterdir():
            stage, _, pid = held.name.partition("@")
            victims = self.platform.kill(kills[stage].victims, held=int(pid)) if is_running(int(pid)) else []
            # Whoever waits there and is alive goes on into what has become of the others.
            held.unlink(missing_ok=True)
            if victims:
                self.timeline.note("kill", f"{', '.join(victims)} at {stage}")
                return Killed(stage, tuple(victims))
            # It died with one that was killed a moment before, or whom it was armed for is away just now.
            self._arm(stage)
        return None

    def _arm(self, stage: str) -> None:
        (self._folder / "armed" / stage).touch()

    def _disarm(self, stage: str) -> None:
        (self._folder / "armed" / stage).unlink(missing_ok=True)
        for held in (self._folder / "held").glob(f"{stage}@*"):
            held.unlink(missing_ok=True)

    def is_realtime_after(self, at: float) -> bool:
        """Whether what is live of every realtime feed was made by the vendor after ``at``."""
        return all(self.observer.header(name) > at for name in self.observer.realtime)

    def are_live(self, schedules: dict[str, int]) -> bool:
        """Whether these schedule versions, or newer ones, are live."""
        return all(
            self.vendor.schedule_live(edition, self.observer.live(name)) >= schedules[edition]
            for edition, name in zip(self.editions, self.observer.schedules, strict=True)
        )

    def end(self) -> None:
        """Let it come to rest, and look at everything that must hold."""
        at = time.time()
        self.wait(self.platform.is_up, RECOVERS_WITHIN_S, "every process up")
        self.wait(lambda: self.is_realtime_after(at), RECOVERS_WITHIN_S, "realtime at the end")
        schedules = self.vendor.schedules_now()
        self.wait(lambda: self.are_live(schedules), RECOVERS_WITHIN_S, "the newest schedules live at the end")
        self.platform.kill([commands.SIMULATOR])
        with self.instance() as instance:
            archive = Archive(open_store(self._archive_url))

            def is_quiet() -> bool:
                lost = invariants.nothing_is_lost(archive, self.store, self.editions)
                return not invariants.unfinished(instance) and next(lost, None) is None

            self.wait(is_quiet, QUIET_WITHIN_S, "no run under way, and the newest of everything live")
            for line in invariants.unfinished(instance):
                self.timeline.broken(line)
            checks: Sequence[Iterator[str]] = [
                invariants.archive_is_whole(archive, instance, self.editions),
                invariants.nothing_is_lost(archive, self.store, self.editions),
                invariants.publications_are_whole(self.store, self.editions),
                invariants.nothing_is_published_twice(instance, self.editions),
                invariants.no_run_is_stuck(instance, STUCK_AFTER_S),
                invariants.no_slot_is_held(instance),
                invariants.sensors_tick(instance, self.editions),
                invariants.nothing_is_left_over(self.store, open_store(self._archive_url)),
                iter(self.observer.unnamed()),
                iter(self.observer.came_back()),
                (f"zombie {each}" for each in self.platform.zombies()),
            ]
            for line in itertools.chain.from_iterable(checks):
                self.timeline.broken(line)
            self.round.figures = invariants.count_runs(instance, self.editions) | {
                "looks at files that had changed": self.observer.looks["file"],
                "looks over HTTP that had changed": self.observer.looks["http"],
            }

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """The platform's instance, whose settings name variables of the environment."""
        environment, before = self.platform.environment, dict(os.environ)
        os.environ.update({name: environment[name] for name in ("CONTINUOUS_GTFS_POSTGRES_URL", "DAGSTER_HOME")})
        try:
            with DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
