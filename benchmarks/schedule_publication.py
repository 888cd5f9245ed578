"""How long does a new schedule take from the vendor to its stable URL, through Dagster?

A real feed with one changed cell a version, on embedded PostgreSQL with real daemon and code servers, in
both editions at once. *Available* is when the vendor has the new bytes, *detected* is when the fetch that
brought them ended, *published* is what the manifest says.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class Vendor(ThreadingHTTPServer):
    """A vendor of one schedule, whatever is asked for; what it has can be exchanged."""

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.data = data

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Vendor

    def do_GET(self) -> None:
        data = self.server.data
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        is_schedule = self.path.endswith("schedule.zip")
        is_known = self.headers.get("If-None-Match") == etag
        status = (304 if is_known else 200) if is_schedule else 503
        body = data if status == 200 else b""
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing: the table is what is printed."""


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
    with (
        tempfile.TemporaryDirectory(prefix="schedule-publication-") as folder,
        Vendor(with_feed_version(data, "bench-0")) as vendor,
    ):
        threading.Thread(target=vendor.serve_forever, daemon=True).start()
        urls = {f"PIMS_{edition}_URL": vendor.url for edition in ("PRODUCTION", "QA")}
        with Platform(Path(folder), environment=urls) as platform:
            publisher = Publisher(open_store(platform.environment["CONTINUOUS_GTFS_PUBLISHED"]))
            live = wait_for_successor(platform, publisher, None)
            for number in range(1, rounds + 1):
                vendor.data = with_feed_version(data, f"bench-{number}")
                available = time.time()
                live = wait_for_successor(platform, publisher, live.label)
                version = FeedVersion.from_dict(dict(live.facts["inputs"]["schedule"]))
                published = live.published_at.timestamp()
                waits.append(published - available)
                runs.append(published - version.fetched_at.timestamp())
        vendor.shutdown()
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
