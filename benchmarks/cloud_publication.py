"""How long does a realtime feed take to a bucket, where each request waits 40 ms, and how many requests is that?

The server is the one of the tests, on this machine, behind a proxy that holds each request; so what a real bucket adds
of its own, connections with TLS above all, is not in it. The time of one request after the other is the yardstick.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schedule_measuring import options
from tables import median, print_table

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs_tests.artifacts.cloud import cloud_server
from continuous_gtfs_tests.artifacts.cloud_proxy import CloudProxy, cloud_proxy
from continuous_gtfs_tests.artifacts.publishing import numbered_objects
from continuous_gtfs_tests.artifacts.snapshots import version_of

NAME = "realtime/production/trip_updates"
DELAY_S = 0.04
# Of each of the two objects.
FEED_BYTES = 100_000
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEPT = 3


def publish(store: Store, number: int) -> None:
    """As a realtime run does it, with its look at what is live."""
    publisher = Publisher(store)
    seen = publisher.look(NAME)
    publisher.publish(
        NAME,
        numbered_objects(number, FEED_BYTES),
        label=f"v{number}",
        order=[number],
        manifest={"number": number},
        now=NOON,
        keep_versions=KEPT,
        seen=seen,
    )


def archive(store: Store, number: int) -> None:
    """As a sensor does it."""
    body = f"{number} ".encode() * (FEED_BYTES // 5)
    Archive(store).save(version_of(body, NOON + timedelta(seconds=20 * number)), body)


def read(store: Store, number: int) -> None:
    """As a run does it; of one feed."""
    kept = Archive(store)
    latest = kept.latest("production", "vehicle_positions")
    assert latest is not None
    kept.read(latest)


CASES: dict[str, Callable[[Store, int], None]] = {"archive a version": archive, "read it": read, "publish": publish}


def measured(
    store: Store, work: Callable[[Store, int], None], first: int, rounds: int, proxy: CloudProxy | None
) -> tuple[list[float], list[int]]:
    """Seconds and requests of each round, the first of all left out: it makes connections."""
    took, requests = [], []
    for number in range(first, first + rounds + 1):
        if proxy is not None:
            proxy.forget()
        began = time.perf_counter()
        work(store, number)
        took.append(time.perf_counter() - began)
        requests.append(len(proxy.requests) if proxy is not None else 0)
    return took[1:], requests[1:]


def main() -> None:
    rounds = options(__doc__).rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder, cloud_server() as server, cloud_proxy(server) as proxy:
        os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
        bucket, local = GcsStore(server.make_bucket()), LocalStore(Path(folder))
        for case, work in CASES.items():
            on_disk, _ = measured(local, work, 1, rounds, None)
            proxy.delay_s = 0.0
            at_once, requests = measured(bucket, work, 1, rounds, proxy)
            proxy.delay_s = DELAY_S
            delayed, more = measured(bucket, work, 2 + rounds, rounds, proxy)
            usual = median([*requests, *more])
            rows.append(
                [
                    case,
                    f"{median(on_disk) * 1000:.0f}",
                    f"{usual:.0f}",
                    f"{median(at_once) * 1000:.0f}",
                    f"{median(delayed) * 1000:.0f}",
                    f"{usual * DELAY_S * 1000 + median(at_once) * 1000:.0f}",
                ]
            )
    print_table(
        f"A publication to a bucket: ms (n = {rounds}, medians)",
        ["", "local disk", "requests", "bucket, no delay", "40 ms a request", "one request after the other"],
        rows,
    )


if __name__ == "__main__":
    main()
