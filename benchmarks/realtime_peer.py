"""The peer's part of ``realtime_pipeline``, run by the Python of the peer's environment: its steps, its encoding.

Prints the milliseconds of each run from the bytes of the feeds to the bytes and the JSON of both, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from continuous_gtfs.builtins.realtime import FilterStopsByID, UpdateFeedHeader
from continuous_gtfs.pipelines.realtime import run_realtime_pipeline
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import step


@step(before="*")
def init(ctx):
    ctx.output.update(ctx.inputs)


def main() -> None:
    folder, runs, stops = Path(sys.argv[1]), int(sys.argv[2]), set(sys.argv[3].split(","))
    bodies = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.pb"))}
    steps = [init, FilterStopsByID(stops), UpdateFeedHeader(version="2.0")]
    took = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        inputs = {name: FeedMessage.FromString(body) for name, body in bodies.items()}
        result = run_realtime_pipeline(inputs, steps)
        took.append((time.perf_counter() - started) * 1000)
    made = {feed.name: [feed.entities, len(feed.pb)] for feed in result.feeds}
    json.dump({"ms": took[1:], "made": made}, sys.stdout)


if __name__ == "__main__":
    main()
