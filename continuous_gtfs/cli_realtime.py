"""The command that is an author's own loop for realtime: run a list of steps on captures, ask the guards. No Dagster.

What it runs is imported when it runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from continuous_gtfs.cli_files import check_writable, json_bytes, look_here, named, read_feed, read_file, write_whole
from continuous_gtfs.cli_steps import named_paths, parse_moment, steps_until, with_author_line
from continuous_gtfs.errors import ConfigurationError, StepFailedError

if TYPE_CHECKING:
    from google.transit.gtfs_realtime_pb2 import FeedMessage

    from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
    from continuous_gtfs.pipeline.results import StepResult
    from continuous_gtfs.pipeline.step import Step
    from continuous_gtfs.realtime.feeds import RealtimeFeeds
    from continuous_gtfs.realtime.guards.duplicates import Duplicates
    from continuous_gtfs.realtime.guards.result import GuardResult
    from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds

REALTIME, SCHEDULE = "realtime", "schedule"
PUBLISHED = "published_"
FAILED = 1

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("agency")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=PATH",
    help="vehicle_positions=FILE, trip_updates=FILE, alerts=FILE or another feed of the agency; schedule=FEED; "
    "published_trip_updates=FILE: what is live.",
)
@click.option("--output", "-o", type=FOLDER, help="Write FEED.pb and FEED.json here; else it is only reported on.")
@click.option("--until", metavar="STEP", help="Stop after this step.")
@click.option("--report", type=FILE, help="Write what every step and guard said as JSON, also where a step failed.")
@click.option(
    "--now",
    metavar="ISO-TIME",
    help="The time that steps and guards are told, with its offset; else that of the newest header.",
)
def realtime(
    agency: str,
    inputs: tuple[str, ...],
    output: Path | None,
    until: str | None,
    report: Path | None,
    now: str | None,
) -> int:
    """Run an agency's realtime steps on captured feeds, and ask its guards what they would let out.

    AGENCY is a folder that holds realtime.py, or a dotted package; realtime.py has the list STEPS. The same feeds,
    steps and --now give the same bytes. Exits with 1 where a step fails, and then nothing is written, or where a guard
    would block; what the steps made is then written all the same, to be looked at.
    """
    from continuous_gtfs.agencies.agency import load_steps
    from continuous_gtfs.gtfs.reports import run_report, step_notes, step_table
    from continuous_gtfs.pipeline.running import run_steps
    from continuous_gtfs.realtime.encoding import feed_to_json
    from continuous_gtfs.realtime.feeds import RealtimeFeeds
    from continuous_gtfs.realtime.guards.duplicates import drop_duplicate_entities
    from continuous_gtfs.realtime.messages import parse_feed
    from continuous_gtfs.realtime.steps import SCHEDULE_INDEX

    paths = named_paths(inputs, example="vehicle_positions=vp.pb")
    if report is not None:
        check_writable(report, "--report")
    if output is not None:
        _check_folder(output)
    look_here()
    steps = steps_until(load_steps(agency, REALTIME), until)
    schedule_path = paths.pop(SCHEDULE, None)
    bodies = {name: read_file(path) for name, path in paths.items()}
    messages = {name: parse_feed(body, name=str(paths[name])) for name, body in bodies.items()}
    live = {name.removeprefix(PUBLISHED): messages.pop(name) for name in list(messages) if name.startswith(PUBLISHED)}
    _check_names(messages, agency, steps)
    _check_live_names(live, messages, steps)
    moment = _newest(messages) if now is None else parse_moment(now)
    index = None if schedule_path is None else _index(schedule_path)
    thresholds = {name: _thresholds(agency, name) for name in messages}
    before = RealtimeFeeds(messages, bodies={name: bodies[name] for name in messages})

    step_inputs: dict[str, object] = {f"{PUBLISHED}{name}": message for name, message in live.items()}
    if index is not None:
        step_inputs[SCHEDULE_INDEX] = index
    results: list[StepResult] = []
    facts: dict[str, Any] = {
        "agency": agency,
        "until": until,
        "now": moment.isoformat(),
        "inputs": {name: _facts(path, bodies.get(name)) for name, path in _with(paths, SCHEDULE, schedule_path)},
    }
    try:
        made, _ = run_steps(steps, before, now=moment, inputs=step_inputs, on_result=results.append)
    except StepFailedError as error:
        message = with_author_line(error, agency, REALTIME)
        click.echo(step_table(results) + step_notes(results), nl=False)
        if report is not None:
            document = run_report(results, facts=facts, rows_in=before.row_counts(), rows_out=None, error=message)
            write_whole(report, json_bytes(document))
        raise StepFailedError(message, result=error.result) from error
    made = made.fork()
    duplicates = {name: drop_duplicate_entities(made, name) for name in made.names}
    guards = {
        name: _judged(name, made, messages, steps, duplicates[name], live.get(name), index, thresholds[name], moment)
        for name in made.names
    }
    files = {
        f"{name}.{extension}": data
        for name in made.names
        for extension, data in (("pb", made.to_bytes(name)), ("json", feed_to_json(made.message(name))))
    }
    if output is not None:
        _write(output, files)
    click.echo(step_table(results) + step_notes(results), nl=False)
    click.echo("".join(_outcome(made, guards, duplicates, files, output, moment)), nl=False)
    if report is not None:
        facts["outputs"] = {name: _facts(output and output / name, data) for name, data in files.items()}
        facts["guards"] = {name: [_guard(one) for one in found] for name, found in guards.items()}
        rows_out = made.row_counts()
        document = run_report(results, facts=facts, rows_in=before.row_counts(), rows_out=rows_out)
        write_whole(report, json_bytes(document))
    return 0 if all(one.passed for found in guards.values() for one in found) else FAILED


def _check_names(messages: Mapping[str, object], agency: str, steps: Sequence[Step[Any]]) -> None:
    """Refuse a name that nothing of the agency knows: it is a slip of the pen, and the steps would pass it over."""
    from continuous_gtfs.agencies.loading import load_module
    from continuous_gtfs.realtime.steps import ALERTS, TRIP_UPDATES, VEHICLE_POSITIONS

    if not messages:
        raise ConfigurationError(
            "there is no feed to run the steps on: give --input vehicle_positions=vp.pb or --input trip_updates=tu.pb"
        )
    module = load_module(agency, REALTIME)
    source = read_file(Path(module.__file__)).decode(errors="replace") if module.__file__ else ""
    known = {VEHICLE_POSITIONS, TRIP_UPDATES, ALERTS}
    known.update(file for step in steps for file in step.files or ())
    for name in messages:
        if name not in known and f'"{name}"' not in source and f"'{name}'" not in source:
            raise ConfigurationError(
                f"--input {name}: no step of {agency} names such a feed; there are {', '.join(sorted(known))}"
            )


def _check_live_names(live: Iterable[str], messages: Iterable[str], steps: Sequence[Step[Any]]) -> None:
    """Refuse what is live of a feed that no guard holds it against and no step wants: nothing would read it."""
    from continuous_gtfs.realtime.making import published_feeds_wanted

    known = sorted({*messages, *published_feeds_wanted(steps)})
    for name in live:
        if name not in known:
            raise ConfigurationError(
                f"--input {PUBLISHED}{name}: {name} is no feed of this run; there are {', '.join(known)}"
            )


def _newest(messages: Mapping[str, FeedMessage]) -> datetime:
    """The time that the feeds are from: a capture is looked at as it was then, today and in a year alike."""
    timestamps = [message.header.timestamp for message in messages.values()]
    try:
        if newest := max(timestamps):
            return datetime.fromtimestamp(newest, UTC)
    except (OverflowError, ValueError, OSError):
        raise ConfigurationError(f"the header timestamp {newest} is no POSIX time in seconds: give --now") from None
    raise ConfigurationError("no header says from when its feed is: give --now")


def _index(path: Path) -> ScheduleIndex:
    from continuous_gtfs.gtfs.feed import Feed
    from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
    from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index

    data = read_feed(path)
    with named(path):
        return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(data)))


def _thresholds(agency: str, feed: str) -> RealtimeThresholds:
    """The agency's numbers; the usual ones for a folder that has no feeds.py yet."""
    from continuous_gtfs.agencies.agency import load_agency
    from continuous_gtfs.agencies.loading import load_module
    from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds

    module = load_module(agency, REALTIME)
    if module.__file__ and not Path(module.__file__).with_name("feeds.py").is_file():
        return RealtimeThresholds()
    return load_agency(agency).thresholds_of(feed)


def _judged(
    name: str,
    made: RealtimeFeeds,
    raw: Mapping[str, FeedMessage],
    steps: Sequence[Step[RealtimeFeeds]],
    duplicates: Duplicates,
    live: FeedMessage | None,
    index: ScheduleIndex | None,
    thresholds: RealtimeThresholds,
    now: datetime,
) -> list[GuardResult]:
    from continuous_gtfs.realtime.builtin.combining import sources_of
    from continuous_gtfs.realtime.guards.entities import entity_count
    from continuous_gtfs.realtime.guards.judging import LiveFeed, judge_feed
    from continuous_gtfs.realtime.messages import header_timestamp

    return judge_feed(
        name,
        made.message(name),
        raw=raw[name],
        sources=[raw[source] for source in sources_of(steps, name) if source in raw],
        duplicates=duplicates,
        live=None
        if live is None
        else LiveFeed(
            header_timestamp=header_timestamp(live),
            entities=entity_count(live),
            made_timestamp=header_timestamp(live),
        ),
        index=index,
        thresholds=thresholds,
        now=now,
    )


def _outcome(
    made: RealtimeFeeds,
    guards: Mapping[str, Sequence[GuardResult]],
    duplicates: Mapping[str, Duplicates],
    files: Mapping[str, bytes],
    output: Path | None,
    now: datetime,
) -> Iterator[str]:
    """A line a feed with what was made of it, a line below for each guard that would block it."""
    yield f"as of {now.isoformat()}:\n"
    for name in made.names:
        failed = [one for one in guards[name] if not one.passed]
        asked = sum(one.value is not None for one in guards[name])
        verdict = "would not be published" if failed else f"{asked} of {len(guards[name])} guards asked, all hold"
        written = "nothing written" if output is None else f"wrote {output / name}.pb and .json"
        size = f"{made.row_counts()[name]:,} entities, {len(files[f'{name}.pb']):,} bytes"
        yield f"{name}: {size}; {written}; {verdict}\n"
        if duplicates[name].dropped:
            yield f"  {duplicates[name].told}\n"
        for one in failed:
            yield f"  {one.guard}: {' '.join(one.message.split())}\n"


def _guard(result: GuardResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ("guard", "passed", "value", "threshold", "unit", "message")}


def _facts(path: Path | None, data: bytes | None) -> dict[str, Any]:
    known = {} if data is None else {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return {"path": None if path is None else str(path), **known}


def _with(paths: Mapping[str, Path], name: str, path: Path | None) -> list[tuple[str, Path]]:
    return [*paths.items(), *([(name, path)] if path is not None else [])]


def _check_folder(folder: Path) -> None:
    """Refuse a folder that could not be written into, before the work and not after it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigurationError(f"--output {folder}: {there} is no folder that may be written to")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--output {folder}: {error.strerror}") from error
    for name, data in files.items():
        write_whole(folder / name, data)
