"""A reader of everything that is published, all the time: over HTTP as consumers do, and the files as they lie there.

What must hold at every look: an object is whole, a manifest names objects that exist, nothing is ever followed by
something older. What can only be said at the end, since a look may miss a manifest: every object that was seen is one
that some manifest names.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import names
from continuous_gtfs.artifacts.manifest import Manifest, is_older, manifest_key
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs_tests.chaos.timeline import Timeline

EDITIONS = ("production", "qa")
REALTIME_FEEDS = ("vehicle_positions", "trip_updates")
FILES_EVERY_S = 0.01
URLS_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was seen: when, its digest, and its place in the order where it tells one."""

    at: float
    digest: str
    header: int | None


class Observer:
    """Looks until ``watching`` ends.

    Args:
        published: The folder that is served.
        host: Of the static server.
        timeline: Takes what is seen and what is broken.
        editions: Whose feeds are published.
    """

    def __init__(self, published: Path, host: str, timeline: Timeline, editions: Sequence[str] = EDITIONS) -> None:
        self.realtime = [names.realtime_publication(e, f) for e in editions for f in REALTIME_FEEDS]
        self.schedules = [names.schedule_publication(e) for e in editions]
        objects = [f"{name}.{x}" for name in self.realtime for x in ("pb", "json")]
        manifests = [manifest_key(name) for name in (*self.realtime, *self.schedules)]
        self._keys = [*objects, *(f"{name}.zip" for name in self.schedules), *manifests]
        self._published = published
        self._host = host
        self._timeline = timeline
        self._is_over = threading.Event()
        self._inodes: dict[str, tuple[int, int]] = {}
        self.looks = {"file": 0, "http": 0}
        self.seen: dict[tuple[str, str], list[Look]] = {}
        self.manifests: dict[str, list[tuple[float, Manifest]]] = {}
        self._last_order: dict[tuple[str, str], Manifest] = {}
        self._named: dict[str, set[str]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        threads = [threading.Thread(target=each, daemon=True) for each in (self._watch_files, self._ask_for_urls)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def header(self, name: str) -> int:
        """The header timestamp of what is live of a realtime feed; 0 before the first."""
        looks = self.seen.get(("file", f"{name}.pb"))
        return (looks[-1].header or 0) if looks else 0

    def live(self, name: str) -> Manifest | None:
        """What is live by the newest manifest seen."""
        found = self.manifests.get(name)
        return found[-1][1] if found else None

    def unnamed(self) -> list[str]:
        """Objects that were seen at a stable URL and that no manifest names."""
        return [
            f"{key} with digest {look.digest[:12]} was served by {source} and no manifest ever named it"
            for (source, key), looks in self.seen.items()
            for look in looks
            if look.digest not in self._named.get(key, set())
        ]

    def came_back(self) -> list[str]:
        """Labels that were live, then not, then again."""
        found = []
        for name, manifests in self.manifests.items():
            labels = [manifest.label for _, manifest in manifests]
            runs = [label for i, label in enumerate(labels) if i == 0 or labels[i - 1] != label]
            found += [f"{name}: {label} was published twice" for label in set(runs) if runs.count(label) > 1]
        return found

    def _watch_files(self) -> None:
        while not self._is_over.wait(FILES_EVERY_S):
            for key in self._keys:
                try:
                    status = (self._published / key).stat()
                    if self._inodes.get(key) == (status.st_ino, status.st_mtime_ns):
                        continue
                    data = (self._published / key).read_bytes()
                except OSError:
                    continue
                self._inodes[key] = (status.st_ino, status.st_mtime_ns)
                self._take("file", key, data)

    def _ask_for_urls(self) -> None:
        tags: dict[str, str] = {}
        while not self._is_over.wait(URLS_EVERY_S):
            connection = http.client.HTTPConnection(self._host, timeout=10)
            try:
                for key in self._keys:
                    headers = {"If-None-Match": tags[key]} if key in tags else {}
                    connection.request("GET", f"/{key}", headers=headers)
                    response = connection.getresponse()
                    data = response.read()
                    if response.status != 200:
                        continue
                    tags[key] = response.headers["ETag"]
                    if tags[key].strip('"') != hashlib.sha256(data).hexdigest():
                        self._timeline.broken(f"{key} over HTTP: its bytes are not those of its ETag")
                    self._take("http", key, data)
            except (OSError, http.client.HTTPException) as error:
                self._timeline.note("reader", f"no answer: {error!r}")
            finally:
                connection.close()

    def _take(self, source: str, key: str, data: bytes) -> None:
        self.looks[source] += 1
        try:
            if key.endswith(".manifest.json"):
                self._take_manifest(source, key.removesuffix(".manifest.json"), data)
            else:
                self._take_object(source, key, data)
        except (ContinuousGtfsError, DecodeError, ValueError, KeyError, zipfile.BadZipFile) as error:
            self._timeline.broken(f"{key} by {source} is torn ({len(data)} bytes): {error}")

    def _take_manifest(self, source: str, name: str, data: bytes) -> None:
        manifest = Manifest.from_json(name, data)
        before = self._last_order.get((source, name))
        if before is not None and is_older(manifest.order, before.order):
            self._timeline.broken(f"manifest of {name} by {source} went back: {before.label} -> {manifest.label}")
        self._last_order[source, name] = manifest
        for release in (manifest.current, *manifest.previous, *manifest.expired):
            for item in release.objects:
                self._named.setdefault(item.path, set()).add(item.sha256)
        if source == "file":
            missing = [i.version_path for i in manifest.objects if not (self._published / i.version_path).exists()]
            # It may be overtaken between the two looks, by many versions at once.
            if missing and self._is_still(name, manifest):
                self._timeline.broken(f"manifest of {name} names {missing}, which do not exist")
            self.manifests.setdefault(name, []).append((time.time(), manifest))
            self._timeline.note("live", f"{name} {manifest.label}")

    def _is_still(self, name: str, manifest: Manifest) -> bool:
        data = (self._published / manifest_key(name)).read_bytes()
        return Manifest.from_json(name, data).label == manifest.label

    def _take_object(self, source: str, key: str, data: bytes) -> None:
        header = _header(key, data)
        looks = self.seen.setdefault((source, key), [])
        if looks and header is not None and header < (looks[-1].header or 0):
            self._timeline.broken(f"{key} by {source} went back from {looks[-1].header} to {header}")
        looks.append(Look(time.time(), hashlib.sha256(data).hexdigest(), header))


def _header(key: str, data: bytes) -> int | None:
    """Reads an object whole; its header timestamp where it has one."""
    if key.endswith(".pb"):
        message = FeedMessage()
        message.ParseFromString(data)
        return int(message.header.timestamp)
    if key.endswith(".json"):
        return int(json.loads(data)["header"]["timestamp"])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)
    return None
