"""How much smaller is an hour of realtime snapshots once it is packed, and what do packing, keeping and a replay cost?

An hour of the generated agency at 20 s: each feed as fetched and as the reference steps publish it. Packing and replay
run in a process of their own; its peak is that process's memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schedule_measuring import options
from tables import median, print_table

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency, load_steps
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.defs.identify import identify
from continuous_gtfs.defs.past_hours import PastHours
from continuous_gtfs.defs.realtime_archive import ENTITIES
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.pims.catalog import FeedKind
from continuous_gtfs.pims.outcomes import Body
from continuous_gtfs.realtime.making import make_feeds
from continuous_gtfs.realtime.replay import Replay
from continuous_gtfs.realtime.replay_report import ReplayReport
from continuous_gtfs.simulator.agency import GeneratedAgency

HOUR = datetime(2026, 10, 28, 15, tzinfo=UTC)
SNAPSHOTS = 180
CASES = {"as generated": 1, "20 times the trips": 20}
FEEDS = ("vehicle_positions", "trip_updates")
MIB = 1 << 20
IN_PROCESS = "--in-process"


def fill(folder: Path, scale: int) -> list[float]:
    """An hour in small files; gives how long each publication took to keep, in seconds."""
    vendor, agency = GeneratedAgency(seed=1, scale=scale), load_agency(DEFAULT_AGENCY)
    steps = load_steps(DEFAULT_AGENCY, "realtime")
    sources = {source.feed: source for source in agency.sources("production", FeedKind.REALTIME)}
    store = LocalStore(folder)
    archive, published = Archive(store), PublishedSnapshots(store)
    took = []
    for number in range(SNAPSHOTS):
        at = HOUR + timedelta(seconds=20 * number + 1)
        bodies = {
            "vehicle_positions": vendor.vehicle_positions(at, "production"),
            "trip_updates": vendor.trip_updates(at, "production"),
        }
        versions = {feed: identify(sources[feed], Body(body), at) for feed, body in bodies.items()}
        for feed, version in versions.items():
            archive.save(version, bodies[feed])
        made = make_feeds("production", bodies, steps, now=at, index=None)
        for feed, version in versions.items():
            body = made.feeds.to_bytes(feed)
            digest = hashlib.sha256(body).hexdigest()
            snapshot = PublishedSnapshot(
                version=version,
                label=f"{version.version_id}-{digest[:12]}",
                published_at=at,
                body_digest=digest,
                body_bytes=len(body),
                facts={
                    "inputs": {name: one.to_dict() for name, one in versions.items()},
                    "schedule": "none published",
                    "steps_at": at.isoformat(),
                    "code_version": "0" * 16,
                    "run_id": hashlib.md5(body, usedforsecurity=False).hexdigest(),
                },
            )
            begun = time.perf_counter()
            published.save(snapshot, body)
            took.append(time.perf_counter() - begun)
    return took


def on_disk(folder: Path) -> tuple[int, int]:
    """Files and the bytes of their blocks, sidecars included."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return len(files), sum(path.stat().st_blocks * 512 for path in files)


def measured(work: str, folder: Path) -> dict[str, float]:
    """One piece of work in a process of its own."""
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, __file__, IN_PROCESS, work, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path.cwd(),
    )
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_s": time.perf_counter() - begun, "cpu_s": cpu_s} | json.loads(done.stdout)


def work(kind: str, folder: Path) -> dict[str, float]:
    """What the child does."""
    told: dict[str, float] = {}
    if kind == "pack":
        packer = Packer(LocalStore(folder), ENTITIES)
        results = [packer.pack("production", feed, [HOUR])[HOUR] for feed in FEEDS]
        told = {
            "body_bytes": sum(result.body_bytes for result in results),
            "pack_bytes": sum(result.pack_bytes for result in results),
        }
    else:
        agency = load_agency(DEFAULT_AGENCY)
        artifacts = Artifacts(archive_url=str(folder), published_url=str(folder / "published"))
        today = Replay(
            "production",
            load_steps(DEFAULT_AGENCY, "realtime"),
            {feed: agency.thresholds_of(feed) for feed in FEEDS},
        )
        report = ReplayReport()
        for moment in PastHours(artifacts, "production", FEEDS).moments(HOUR):
            report.add(today.replay(moment))
        told = {"snapshots": report.snapshots, "differing": report.differing}
    return told | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main(cases: Sequence[str]) -> None:
    rows = []
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "archive"
            keeping_s = fill(folder, CASES[case])
            files, small_bytes = on_disk(folder)
            packing = measured("pack", folder)
            replaying = measured("replay", folder)
        rows.append(
            [
                case,
                f"{packing['body_bytes'] / 4 / SNAPSHOTS / 1000:.0f}",
                f"{files:,}",
                f"{small_bytes / MIB:.1f}",
                f"{packing['pack_bytes'] / MIB:.2f}",
                f"{small_bytes / packing['pack_bytes']:.1f}",
                f"{packing['wall_s']:.1f}",
                f"{packing['cpu_s']:.1f}",
                f"{packing['peak_mib']:.0f}",
                f"{replaying['wall_s']:.1f}",
                f"{replaying['peak_mib']:.0f}",
                f"{median(keeping_s) * 1000:.1f}",
            ]
        )
    print_table(
        f"An hour of {SNAPSHOTS} pairs, as fetched and as published: small files, packs, replay",
        [
            "case", "kB a snapshot", "files", "on disk MiB", "packs MiB", "smaller by", "pack wall s", "CPU s",
            "peak MiB", "replay wall s", "peak MiB", "keep ms a feed",
        ],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == [IN_PROCESS]:
        sys.stdout.write(json.dumps(work(sys.argv[2], Path(sys.argv[3]))))
    else:
        main(options(__doc__, list(CASES)).cases)
