from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.digest import _canonical, content_digest
from continuous_gtfs.gtfs.zip_writing import write_zip
from continuous_gtfs_tests.builders import feed_zip

STOPS = "stop_id,stop_name\nA,Alder\n"
FILES: dict[str, str | bytes] = {"stops.txt": STOPS, "trips.txt": "trip_id\nT1\n", "logo.png": b"\r\n\x00"}
DIGEST = content_digest(feed_zip(FILES))


def test_zip_order_timestamps_compression_folder_and_hidden_files_make_no_new_version() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in reversed(FILES.items()):
            archive.writestr(zipfile.ZipInfo(f"feed/{name}", (2026, 5, 4, 3, 2, 2)), content)
        archive.writestr("__MACOSX/._x", "left by Finder")
    assert content_digest(buffer.getvalue()) == DIGEST


def test_line_ends_and_a_byte_order_mark_make_no_new_version() -> None:
    stops = "\ufeff" + STOPS.replace("\n", "\r\n")
    assert content_digest(feed_zip(FILES | {"stops.txt": stops})) == DIGEST


@pytest.mark.parametrize(
    "changed",
    [
        {"stops.txt": "stop_id,stop_name\nA,alder\n"},
        {"stops.txt": "stop_id,stop_name\nA,Alder"},
        {"stops.txt": "stop_id,stop_name\nA,Alder\n\n"},
        {"stops.txt": "stop_id,stop_name\nA,Alder \n"},
        {"stops.txt": "stop_name,stop_id\nAlder,A\n"},
        {"extra.txt": ""},
        {"logo.png": b"\n\x00"},
    ],
)
def test_any_other_byte_makes_a_new_version(changed: dict[str, str | bytes]) -> None:
    assert content_digest(feed_zip(FILES | changed)) != DIGEST


def test_a_renamed_file_makes_a_new_version() -> None:
    renamed = {name.replace("trips", "tripz"): content for name, content in FILES.items()}
    assert content_digest(feed_zip(renamed)) != DIGEST


def test_what_moves_from_one_file_to_the_next_makes_a_new_version() -> None:
    one = {"stops.txt": "ab", "stops2.txt": "c"}
    other = {"stops.txt": "a", "stops2.txt": "bc"}
    assert content_digest(feed_zip(one)) != content_digest(feed_zip(other))


def test_what_is_no_feed_has_no_digest() -> None:
    for data in (b"", b"not a zip", feed_zip({"trips.txt": "trip_id\n"})):
        with pytest.raises(FeedStructureError):
            content_digest(data)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\xef\xbb\xbf", b"\xef", b""]), max_size=12))
def test_the_canonical_text_does_not_depend_on_the_pieces_it_comes_in(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert b"".join(_canonical(pieces)) == whole.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")


@given(st.dictionaries(st.sampled_from(["a.txt", "b.txt", "c.bin"]), st.binary(max_size=50)), st.randoms())
def test_the_digest_is_the_same_for_any_order_of_members(files: dict[str, bytes], random: object) -> None:
    members = [("stops.txt", b"stop_id\n"), *files.items()]
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert content_digest(write_zip(members)) == content_digest(write_zip(shuffled))


def test_what_sensors_and_realtime_load_brings_in_no_table_library() -> None:
    code = (
        "import sys\n"
        "import continuous_gtfs.gtfs.digest, continuous_gtfs.gtfs.schedule_index, continuous_gtfs.pipeline.running\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
