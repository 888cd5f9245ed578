"""How long does a new schedule take from the vendor to its stable URL, through Dagster?

A real feed with one changed cell a version, on embedded PostgreSQL with real daemon and code servers, in
both editions at once. *Available* is when the stand-in vendor has the new bytes, *detected* is when the fetch that
brought them ended, *published* is what the manifest says.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
import zipfile
from pathlib import Path

from schedule_measuring import data_path
from tables import median, print_table

from continuous_gtfs import names
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.demo.processes import Platform
from continuous_gtfs.versions import FeedVersion

FEED = "sound_transit_2024-11/schedule.zip"
PUBLICATION = names.schedule_publication("production")
TIMEOUT_S = 180.0


def with_feed_version(data: bytes, label: str) -> bytes:
    """The same feed under another ``feed_version``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "feed_info.txt":
                content = content.replace(b"SC-Fall-2024.11", label.encode())
            after.writestr(name, content)
    return buffer.getvalue()


def replace(path: Path, data: bytes) -> None:
    """The vendor never sees half of a file."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)


def wait_for_successor(platform: Platform, publisher: Publisher, label: str | None) -> Manifest:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        live = publisher.current(PUBLICATION)
        if live is not None and live.label != label:
            return live
        platform.check()
        time.sleep(0.1)
    raise SystemExit(f"nothing new was published within {TIMEOUT_S:.0f} s; see {platform.log('daemon')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    path = data_path(FEED)
    if path is None:
        return
    data = path.read_bytes()
    waits, runs = [], []
    with tempfile.TemporaryDirectory(prefix="schedule-publication-") as folder:
        captures, state = Path(folder, "captures"), Path(folder, "state")
        captures.mkdir()
        schedule = captures / "schedule.zip"
        replace(schedule, with_feed_version(data, "bench-0"))
        # The vendor looks at the folder every second; realtime is not there and does not compete.
        with Platform(state, replay=captures, schedule_every_s=1.0) as platform:
            os.environ.update(platform.environment)
            publisher = Publisher(open_store(platform.environment["CONTINUOUS_GTFS_PUBLISHED"]))
            live = wait_for_successor(platform, publisher, None)
            for number in range(1, rounds + 1):
                replace(schedule, with_feed_version(data, f"bench-{number}"))
                available = time.time()
                live = wait_for_successor(platform, publisher, live.label)
                version = FeedVersion.from_dict(dict(live.facts["inputs"]["schedule"]))
                published = live.published_at.timestamp()
                waits.append(published - available)
                runs.append(published - version.fetched_at.timestamp())
    print_table(
        f"A new schedule version of sound_transit_2024-11, two editions at once (n = {rounds})",
        ("from", "median s", "max s"),
        [
            ("available at the vendor to published", f"{median(waits):.1f}", f"{max(waits):.1f}"),
            ("detected to published", f"{median(runs):.1f}", f"{max(runs):.1f}"),
        ],
    )


if __name__ == "__main__":
    main()
