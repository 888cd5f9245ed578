"""What the tests of the diff share: little feeds with some files replaced, and the diff of two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.report import FeedDiff, FileDiff
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import small_feed, small_feed_files

Files = Mapping[str, str | bytes]


def feed(replaced: Files | None = None, without: Iterable[str] = ()) -> Feed:
    return Feed.from_bytes(small_feed(replaced=replaced, without=without))


def edited(file: str, *changes: tuple[str, str]) -> dict[str, str]:
    """One file of the little feed with texts replaced, each of which must be there."""
    text = small_feed_files()[file]
    for old, new in changes:
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new)
    return {file: text}


def diff_of(after: Files, before: Files | None = None, *, sample: int = 20) -> FeedDiff:
    return diff_feeds(feed(before), feed(after), sample=sample)


def file_of(diff: FeedDiff, name: str) -> FileDiff:
    return next(file for file in diff.files if file.file == name)
