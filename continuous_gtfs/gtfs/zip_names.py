"""Names in a feed's zip: which of its members are files of the feed, and by which name.

A feed that is published is unpacked by others, on systems of all kinds: what would lead one of them astray is refused.
"""

from __future__ import annotations

import unicodedata
import zipfile
from collections import Counter
from collections.abc import Sequence

from continuous_gtfs.errors import FeedStructureError

_UTF8_NAME = 0x800
_NOT_IN_NAMES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LONGEST_NAME = 255
# What says where a feed's files lie. Only a feed of demand-responsive zones may do without stops.txt:
# https://gtfs.org/documentation/schedule/reference/#dataset-files
_ANCHORS = ("stops.txt", "locations.geojson")


def feed_members(entries: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The feed's files by the name they have in it, sub-folder taken off, in the order of the zip.

    Raises:
        FeedStructureError: A name that leaves the feed's folder or leads astray in another way, one that is there
            twice, or no feed among the members.
    """
    for entry in entries:
        _check_name(entry)
    files = [entry for entry in entries if not _is_ignored(entry)]
    folder = _feed_folder(files)
    named = [(_name(entry).removeprefix(folder), entry) for entry in files]
    counts = Counter(name for name, _ in named)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise FeedStructureError(f"the zip has {repeated[0]} {counts[repeated[0]]} times; which one counts?")
    # Who unpacks the feed on such a system would be left with the other one.
    taken: dict[str, str] = {}
    for name in counts:
        other = taken.setdefault(unicodedata.normalize("NFC", name.casefold()), name)
        if other != name:
            raise FeedStructureError(
                f"the zip has {other} and {name}, which are one file where case is not told apart; which one counts?"
            )
    return dict(named)


def _check_name(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    parts = name.split("/")
    reason = None
    if "\x00" in name:
        reason = "a NUL in its name"
    elif "\\" in name:
        reason = "a backslash in its name, which is no separator in a zip"
    elif name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        reason = "an absolute path"
    elif ".." in parts or "." in parts:
        reason = "a path that leaves the feed's folder"
    elif "" in parts[:-1]:
        reason = "an empty folder name in its path"
    elif any(unicodedata.category(character) in _NOT_IN_NAMES for character in _name(entry)):
        reason = "a control character or a mark that turns text around in its name"
    elif max(map(len, parts)) > _LONGEST_NAME:
        reason = f"a name of more than {_LONGEST_NAME} characters, which no file system takes"
    if reason is not None:
        raise FeedStructureError(f"the zip member {name!r} has {reason}")


def _is_ignored(entry: zipfile.ZipInfo) -> bool:
    """Folders, and what Finder and other tools leave in a zip unasked."""
    parts = entry.filename.split("/")
    return entry.is_dir() or "__MACOSX" in parts or any(part.startswith(".") for part in parts)


def _name(entry: zipfile.ZipInfo) -> str:
    """A member's name; many tools write UTF-8 without saying so, which zipfile takes for code page 437."""
    if entry.flag_bits & _UTF8_NAME or entry.filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeError:
        return entry.filename


def _feed_folder(entries: list[zipfile.ZipInfo]) -> str:
    """``""``, or the one sub-folder, with its slash, that the feed's files lie in."""
    names = [_name(entry) for entry in entries]
    for anchor in _ANCHORS:
        folders = sorted({name.removesuffix(anchor) for name in names if name == anchor or name.endswith(f"/{anchor}")})
        if len(folders) > 1:
            told = ", ".join(folder or "the top" for folder in folders)
            raise FeedStructureError(f"the zip has {anchor} in {len(folders)} folders: {told}; which feed counts?")
        if folders:
            return folders[0]
    nested = sorted(name for name in names if name.lower().endswith(".zip"))
    if nested:
        raise FeedStructureError(
            f"the zip holds other zips, not a feed: {', '.join(nested[:8])}; unpack the one you mean"
        )
    raise FeedStructureError(f"the zip has no stops.txt; it has {', '.join(names[:8]) or 'no files at all'}")
