"""`continuous-gtfs demo` and `services`: start the platform, show it, end it, say how it went."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from continuous_gtfs.agencies.agency import load_agency
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.activity import Activity, could_not_tell
from continuous_gtfs.demo.child import ProcessFailedError
from continuous_gtfs.demo.display import PlainProgress, build_table
from continuous_gtfs.demo.ports import Ports
from continuous_gtfs.demo.processes import Platform, StartStoppedError
from continuous_gtfs.demo.summary import age_lines, failures, reasons, summarise
from continuous_gtfs.errors import ConfigurationError

ASK_EVERY_S = 3.0
LOOK_EVERY_S = 1.0
# How long runs under way may take to end when the time is over, and when somebody waits for the demo to end.
LAST_RUNS_S = 20.0
INTERRUPTED_RUNS_S = 6.0
RUNS_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line says.

    Attributes:
        state: The state folder.
        port_base: The first of five ports.
        replay: Captures to serve in place of the generated agency.
        for_s: Run this long without a table, then stop; until told to stop when None.
        json_path: Takes the summary.
        realtime_every_s: See ``Platform``.
        schedule_every_s: See ``Platform``.
    """

    state: Path
    port_base: int
    replay: Path | None = None
    for_s: float | None = None
    json_path: Path | None = None
    realtime_every_s: float = 20.0
    schedule_every_s: float | None = None


def run_demo(options: DemoOptions, console: Console) -> int:
    """Run it all; gives the exit code: 0 only when every pipeline published in time and nothing failed."""
    if options.json_path is not None:
        _check_writable(options.json_path)
    with _stop_on_signals() as stop:
        platform = _platform(options, commands.ALL, console, stop)
        agency = load_agency(platform.environment["CONTINUOUS_GTFS_AGENCY"])
        is_new = not platform.postgres.data_dir.exists()
        started_at = datetime.now(UTC)
        activity = Activity(
            agency.feeds,
            url=platform.url(commands.WEBSERVER),
            published=open_store(platform.environment["CONTINUOUS_GTFS_PUBLISHED"]),
            started_at=started_at,
            is_new=is_new,
        )
        died: list[str] = []
        try:
            platform.start()
            _tell_urls(platform, console)
            _watch(platform, activity, options, console, stop)
            within_s = INTERRUPTED_RUNS_S if stop.is_set() else LAST_RUNS_S
            _let_runs_end(platform, activity, console, within_s=within_s)
        except StartStoppedError:
            died.append("stopped while it was starting")
        except ProcessFailedError as error:
            died.append(str(error))
        finally:
            platform.stop()
    ran_s = (datetime.now(UTC) - started_at).total_seconds()
    problems = died or reasons(activity, ran_s=ran_s)
    if options.json_path is not None:
        text = json.dumps(summarise(activity, now=datetime.now(UTC), problems=problems), indent=1)
        options.json_path.write_text(text + "\n")
    for line in age_lines(activity):
        _say(console, line)
    for problem in problems:
        _say(console, f"failed: {problem}")
    if not problems:
        _say(console, f"done: every pipeline published, nothing failed, state kept in {options.state}")
    return 1 if problems else 0


def run_services(options: DemoOptions, console: Console) -> int:
    """PostgreSQL, the stand-in vendor and the static server alone, for `dagster dev` in another shell."""
    with _stop_on_signals() as stop:
        platform = _platform(options, commands.SERVICES, console, stop)
        try:
            platform.start()
            _say(console, f"published feeds: {platform.url(commands.PUBLISHED)}/")
            _say(console, f"stand-in PIMS:   {platform.url(commands.SIMULATOR)}/")
            _say(console, "In another shell, from the project's folder:")
            _say(console, f"    set -a; . {_short(platform.state)}/env; set +a")
            _say(console, "    .venv/bin/dagster dev")
            while not stop.wait(LOOK_EVERY_S):
                platform.check()
        except StartStoppedError:
            pass
        except ProcessFailedError as error:
            _say(console, f"failed: {error}")
            return 1
        finally:
            platform.stop()
    return 0


def _platform(options: DemoOptions, names: Sequence[str], console: Console, stop: threading.Event) -> Platform:
    begun = time.monotonic()

    def tell(name: str, event: str) -> None:
        if event != "starting":  # all start within a second or so; what takes time is to be ready
            _say(console, f"{time.monotonic() - begun:5.1f} s  {name} {event}")

    return Platform(
        options.state,
        ports=Ports.from_base(options.port_base),
        realtime_every_s=options.realtime_every_s,
        schedule_every_s=options.schedule_every_s,
        replay=options.replay,
        names=names,
        on_event=tell,
        should_stop=stop.is_set,
    )


def _tell_urls(platform: Platform, console: Console) -> None:
    _say(console, f"Dagster UI:      {platform.url(commands.WEBSERVER)}/")
    _say(console, f"published feeds: {platform.url(commands.PUBLISHED)}/")
    _say(console, f"stand-in PIMS:   {platform.url(commands.SIMULATOR)}/")


def _watch(
    platform: Platform, activity: Activity, options: DemoOptions, console: Console, stop: threading.Event
) -> None:
    """Show what happens until the time is over or somebody stops it."""
    ends = activity.started_at.timestamp() + options.for_s if options.for_s is not None else None
    plain = PlainProgress(console)
    is_plain = options.for_s is not None or not console.is_terminal
    with Live(console=console, auto_refresh=False, transient=False) if not is_plain else _no_live() as live:
        ask_at, note = 0.0, None
        while not stop.is_set() and (ends is None or time.time() < ends):
            platform.check()
            if time.monotonic() >= ask_at:
                note = could_not_tell(activity.refresh)
                ask_at = time.monotonic() + ASK_EVERY_S
            else:
                note = could_not_tell(activity.refresh_publications) or note
            if live is None:
                plain.show(activity, note)
            else:
                caption = note or next(iter(failures(activity)), None)
                live.update(build_table(activity, now=datetime.now(UTC), note=caption), refresh=True)
            stop.wait(LOOK_EVERY_S if ends is None else max(0.0, min(LOOK_EVERY_S, ends - time.time())))


def _let_runs_end(platform: Platform, activity: Activity, console: Console, *, within_s: float) -> None:
    """Stop what asks for runs, let those under way end, and take the last facts while there is a webserver."""
    platform.stop_process(commands.DAEMON)
    deadline = time.monotonic() + within_s
    note = could_not_tell(activity.refresh)
    while (note or activity.in_progress()) and time.monotonic() < deadline:
        platform.check()
        time.sleep(RUNS_POLL_S)
        note = could_not_tell(activity.refresh)
    if note:
        raise ProcessFailedError(note)
    for run in activity.in_progress():
        _say(console, f"run {run.run_id[:8]} of {run.job} was still in progress and is not counted")


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, so that everything ends in order, once."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, ask_to_stop) for number in watched}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _no_live() -> Iterator[None]:
    yield None


def _check_writable(path: Path) -> None:
    """Find out before the demo runs, not after it; what an earlier demo wrote there is no summary of this one."""
    try:
        path.write_text("")
    except OSError as error:
        raise ConfigurationError(f"--json {path}: {error.strerror}") from error


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
