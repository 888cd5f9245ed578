"""How long does the reference agency's realtime pipeline take from the vendor's bytes to those that go out, and JSON?

Pure: no Dagster, no store, no network. Each subject runs in a process of its own that has everything loaded, some runs
at a time and in turn. Run with ``--in-process`` it is ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.transit.gtfs_realtime_pb2 import FeedMessage
from schedule_measuring import data_path, options, peer
from tables import median, percentile, print_table

IN_PROCESS = "--in-process"
RUNS_A_ROUND = 10
MIB = 1_000_000
PAIR = "sound_transit_2023-08/{feed}_1690679342.pb"
SCHEDULE = "sound_transit_2023-08/schedule.zip"
FEEDS = ("vehicle_positions", "trip_updates")
NYCT = "nyct_rt_10s/nyct_subways_gtfs_rt.2024-03-4T003509-0400.pb"
# A stop that many vehicles and trips of the pair have, for the case in which the steps have something to do.
STOP_IN_USE = "99904"
CASES = ("pair", "149 + 149", "1 MB + 1 MB", "1 MB + 1 MB, a stop filtered", "NYCT")
TITLES = {"pair": "Sound Transit pair, 15 + 15", "NYCT": "NYCT capture, 126"}


def multiplied(data: bytes, *, entities: int = 0, size: int = 0) -> bytes:
    """A feed with so many entities, or of so many bytes: the same ones again and again under other ids."""
    source, made = FeedMessage.FromString(data), FeedMessage()
    made.header.CopyFrom(source.header)
    number = 0
    while len(made.entity) < entities or made.ByteSize() < size:
        entity = made.entity.add()
        entity.CopyFrom(source.entity[number % len(source.entity)])
        entity.id = f"{entity.id}-{number}"
        number += 1
    written: bytes = made.SerializeToString()
    return written


def write_case(name: str, folder: Path) -> str:
    """Write the feeds of a case into a folder. Returns the stops to filter, with commas; blank if data is absent."""
    from continuous_gtfs.agencies.sound_transit.realtime import STATIONS_NOT_YET_OPEN

    sources = (
        {"trip_updates": data_path(NYCT)} if name == "NYCT" else {f: data_path(PAIR.format(feed=f)) for f in FEEDS}
    )
    for feed, path in sources.items():
        if path is None:
            return ""
        data = path.read_bytes()
        if name == "149 + 149":
            data = multiplied(data, entities=149)
        elif name.startswith("1 MB"):
            data = multiplied(data, size=MIB)
        (folder / f"{feed}.pb").write_bytes(data)
    return ",".join([*STATIONS_NOT_YET_OPEN, *([STOP_IN_USE] if name.endswith("filtered") else [])])


def run_in_process(folder: Path, runs: int, stops: str) -> None:
    """Print the milliseconds of each run, after one that does not count."""
    from google.protobuf.json_format import MessageToJson

    from continuous_gtfs.agencies.sound_transit.realtime import STEPS
    from continuous_gtfs.gtfs.feed import Feed
    from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
    from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
    from continuous_gtfs.pipeline.running import run_steps
    from continuous_gtfs.pipeline.step import Step
    from continuous_gtfs.realtime.encoding import feed_to_json
    from continuous_gtfs.realtime.feeds import RealtimeFeeds
    from continuous_gtfs.realtime.messages import parse_feed
    from continuous_gtfs.realtime.steps import FilterStopsByID, UpdateFeedHeader

    bodies = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.pb"))}
    filtering = FilterStopsByID(stops.split(","))
    # The peer's steps, for the comparison with it; else the agency's own, with the schedule that they ask.
    both = [filtering, UpdateFeedHeader(version="2.0")]
    steps = STEPS if STOP_IN_USE not in stops else [filtering, *STEPS[1:]]
    schedule = data_path(SCHEDULE)
    index = None if schedule is None else ScheduleIndex.from_bytes(build_schedule_index(Feed.from_path(schedule)))
    inputs = {} if index is None else {"schedule_index": index}
    now = datetime.fromtimestamp(1690679342, UTC)
    messages = {name: parse_feed(body, name=name) for name, body in bodies.items()}

    def pipeline(steps: Sequence[Step[RealtimeFeeds]] = steps) -> tuple[RealtimeFeeds, dict[str, bytes]]:
        parsed = {name: parse_feed(body, name=name) for name, body in bodies.items()}
        made, _ = run_steps(steps, RealtimeFeeds(parsed, bodies=bodies), now=now, inputs=inputs)
        return made, {name: made.to_bytes(name) for name in made.names}

    def with_json() -> None:
        made, _ = pipeline(both)
        for name in made.names:
            feed_to_json(made.message(name))

    subjects: dict[str, Callable[[], object]] = {
        "pipeline": pipeline,
        "with JSON": with_json,
        "JSON": lambda: [feed_to_json(message) for message in messages.values()],
        "MessageToJson": lambda: [
            MessageToJson(message, preserving_proto_field_name=True) for message in messages.values()
        ],
    }
    took: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(runs + 1):
        for name, call in subjects.items():
            started = time.perf_counter()
            call()
            took[name].append((time.perf_counter() - started) * 1000)
    made, written = pipeline(both)
    facts = {name: [made.row_counts()[name], len(data)] for name, data in written.items()}
    json.dump({"ms": {name: values[1:] for name, values in took.items()}, "made": facts}, sys.stdout)


def run_case(name: str, folder: Path, stops: str, rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Milliseconds by subject, and by program what it made: entities and bytes of each feed."""
    here = Path(__file__)
    commands = {"ours": [sys.executable, str(here), IN_PROCESS]}
    if (python := peer("python")) is not None:
        commands["peer"] = [python, str(here.with_name("realtime_peer.py"))]
    took: dict[str, list[float]] = {}
    made: dict[str, Any] = {}
    for _ in range(rounds):
        for program, command in commands.items():
            ran = subprocess.run([*command, str(folder), str(RUNS_A_ROUND), stops], stdout=subprocess.PIPE, check=True)
            found = json.loads(ran.stdout)
            subjects: Mapping[str, list[float]] = found["ms"] if program == "ours" else {"peer": found["ms"]}
            for subject, values in subjects.items():
                took.setdefault(subject, []).extend(values)
            made[program] = found["made"]
    return took, made


def main() -> None:
    chosen = options(__doc__, CASES)
    pipeline, encoding, against, notes = [], [], [], []
    for name in chosen.cases:
        with tempfile.TemporaryDirectory(prefix="realtime-pipeline-") as text:
            if not (stops := write_case(name, Path(text))):
                continue
            took, made = run_case(name, Path(text), stops, chosen.rounds)
        title = TITLES.get(name, name)
        middle = {subject: median(values) for subject, values in took.items()}
        pipeline.append((title, f"{middle['pipeline']:.2f}", f"{percentile(took['pipeline'], 0.95):.2f}"))
        ratio = middle["JSON"] / middle["MessageToJson"]
        encoding.append((title, f"{middle['JSON']:.2f}", f"{middle['MessageToJson']:.2f}", f"{ratio:.2f}"))
        if "peer" in middle:
            ratio = middle["with JSON"] / middle["peer"]
            against.append((title, f"{middle['with JSON']:.2f}", f"{middle['peer']:.2f}", f"{ratio:.2f}"))
            is_same = "the same" if made["ours"] == made["peer"] else f"ours {made['ours']}, the peer's {made['peer']}:"
            notes.append(f"- {title}: {is_same} entities and bytes of each feed\n")
    runs = f"(n = {RUNS_A_ROUND * chosen.rounds})"
    print_table(
        f"The vendor's bytes to .pb bytes, the steps of the agency, ms {runs}", ("case", "p50", "p95"), pipeline
    )
    print_table(f"JSON alone, ms, medians {runs}", ("case", "ours", "MessageToJson", "ours / MessageToJson"), encoding)
    if against:
        columns = ("case", "ours", "peer", "ours / peer")
        print_table(f"The vendor's bytes to .pb bytes and JSON, ms, medians {runs}", columns, against)
        sys.stdout.write("\n" + "".join(notes))


if __name__ == "__main__":
    if IN_PROCESS in sys.argv:
        run_in_process(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        main()
