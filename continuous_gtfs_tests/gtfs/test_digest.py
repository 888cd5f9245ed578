from __future__ import annotations

import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.digest import content_digest
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zip_writing import write_zip
from continuous_gtfs_tests.builders import feed_zip
from continuous_gtfs_tests.real_data import real_data_folder, real_data_path

STOPS = "stop_id,stop_name\nA,Alder\nB,Birch\n"
ZONES = '{"type":"FeatureCollection",\n"features":[]}\n'
FILES: dict[str, str | bytes] = {
    "stops.txt": STOPS,
    "levels.txt": "level_id\nL1\n",
    "facilities.txt": "id,kind\n2,lift\n1,stair\n",
    "modifications.txt": "Changes: none.\nSee below,\nor above.\n",
    "locations.geojson": ZONES,
    "logo.png": b"\r\n\x00",
}
DIGEST = content_digest(feed_zip(FILES))

STOP_TIME = st.tuples(
    st.sampled_from(["T1", "T2", "T,3", ""]),
    st.sampled_from(["08:00:00", "8:00:00", ""]),
    st.text(alphabet='1 ,"\n\r', max_size=3),
)
StopTimes = list[tuple[str, str, str]]


def digest_with(name: str, content: str | bytes) -> str:
    return content_digest(feed_zip(FILES | {name: content}))


def stop_times(rows: StopTimes) -> str:
    quoted = ([f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows)
    return "trip_id,arrival_time,stop_sequence\n" + "".join(",".join(row) + "\n" for row in quoted)


def stop_times_digest(rows: StopTimes) -> str:
    return content_digest(feed_zip({"stops.txt": STOPS, "stop_times.txt": stop_times(rows)}))


def test_zip_order_timestamps_compression_folder_and_hidden_files_make_no_new_version() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in reversed(FILES.items()):
            archive.writestr(zipfile.ZipInfo(f"feed/{name}", (2026, 5, 4, 3, 2, 2)), content)
        archive.writestr("__MACOSX/._x", "left by Finder")
    assert content_digest(buffer.getvalue()) == DIGEST


@pytest.mark.parametrize(
    "stops",
    [
        "\ufeff" + STOPS,
        STOPS.replace("\n", "\r\n"),
        STOPS.replace("Alder\n", "Alder\r\n"),
        'stop_id,stop_name\n"A","Alder"\n"B",Birch\n',
        '"stop_id","stop_name"\nA,Alder\nB,Birch\n',
        "stop_id,stop_name\n\nA,Alder\n\r\n\nB,Birch\n\n",
        STOPS.removesuffix("\n"),
        "stop_id,stop_name\nB,Birch\nA,Alder\n",
    ],
    ids=[
        "BOM",
        "CRLF",
        "both line ends",
        "idle marks",
        "marks in the header",
        "blank lines",
        "no last end",
        "row order",
    ],
)
def test_what_changes_no_cell_of_a_table_makes_no_new_version(stops: str) -> None:
    assert digest_with("stops.txt", stops) == DIGEST


@pytest.mark.parametrize(
    "stops",
    [
        STOPS.replace("Alder", "alder"),
        STOPS.replace("Alder", "Alder "),
        STOPS.replace("Alder", " Alder"),
        STOPS.replace("A,", "A ,"),
        STOPS.replace("Alder", '"Al\nder"'),
        STOPS.replace("stop_name", "stop_names"),
        STOPS.replace("stop_name", " stop_name"),
        "stop_name,stop_id\nAlder,A\nBirch,B\n",
        "stop_id,stop_name,zone_id\nA,Alder,\nB,Birch,\n",
        STOPS + "B,Birch\n",
        STOPS.replace("A,Alder\n", ""),
        "stop_id,stop_name\nA,Birch\nB,Alder\n",
        "",
    ],
)
def test_a_cell_a_name_a_place_or_a_copy_of_a_row_makes_a_new_version(stops: str) -> None:
    assert digest_with("stops.txt", stops) != DIGEST


def test_the_line_end_in_a_quoted_value_is_part_of_the_cell() -> None:
    one = digest_with("stops.txt", 'stop_id,stop_name\nA,"Al\nder"\n')
    assert digest_with("stops.txt", 'stop_id,stop_name\r\nA,"Al\nder"\r\n') == one
    assert digest_with("stops.txt", 'stop_id,stop_name\nA,"Al\r\nder"\n') != one


def test_a_comma_or_a_mark_in_a_cell_is_none_between_cells() -> None:
    contents = ["a,b\n", '"a,b"\n', '"a"",""b"\n', '"a"",b"\n', '"""a,b"\n']
    assert len({content_digest(feed_zip({"stops.txt": STOPS, "x.txt": f"h\n{text}"})) for text in contents}) == 5


def test_in_one_column_a_blank_cell_counts_and_a_blank_line_does_not() -> None:
    assert digest_with("levels.txt", 'level_id\nL1\n""\n') != DIGEST
    assert digest_with("levels.txt", "level_id\nL1\n\n") == DIGEST


def test_the_order_of_rows_counts_in_a_file_that_the_reference_does_not_know() -> None:
    assert digest_with("facilities.txt", "id,kind\n1,stair\n2,lift\n") != DIGEST
    assert digest_with("facilities.txt", 'id,kind\r\n2,"lift"\r\n1,stair\r\n') == DIGEST


def test_text_that_is_no_table_counts_by_its_bytes_but_for_line_ends_and_a_byte_order_mark() -> None:
    assert digest_with("locations.geojson", "\ufeff" + ZONES.replace("\n", "\r\n")) == DIGEST
    assert digest_with("locations.geojson", ZONES.removesuffix("\n")) != DIGEST
    assert digest_with("locations.geojson", ZONES.replace("[]", "[ ]")) != DIGEST


def test_of_what_is_no_text_every_byte_counts() -> None:
    assert digest_with("logo.png", b"\n\x00") != DIGEST


@pytest.mark.parametrize(
    "stops",
    [
        b"stop_id,stop_name\nA\nB,Birch\n",
        b"stop_id,stop_name\nA,Alder,x\nB,Birch\n",
        b'stop_id,stop_name\nA,Al"der\nB,Birch\n',
        b'stop_id,stop_name\nA,"Alder\nB,Birch\n',
        b'stop_id,stop_name\nA,"Al"der\nB,Birch\n',
        b"stop_id,stop_name\nA,Ald\xe9r\nB,Birch\n",
        b"stop_id,stop_name\nA,Al\0der\nB,Birch\n",
        b"stop_id,stop_name\rA,Alder\rB,Birch\r",
        b"stop_id,stop_name\nA,Al\rder\nB,Birch\n",
        STOPS.encode("utf-16"),
        b"\nstop_id,stop_name\nA,Alder\n",
        b"\n",
    ],
    ids=[
        "short row",
        "long row",
        "stray mark",
        "unclosed mark",
        "text after a mark",
        "bad UTF-8",
        "NUL",
        "CR only",
        "lone CR",
        "UTF-16",
        "blank first line",
        "nothing but a line end",
    ],
)
def test_a_table_that_cannot_be_parsed_counts_by_every_byte(stops: bytes) -> None:
    variants = [stops, stops + b"\n", b"\xef\xbb\xbf" + stops, stops.replace(b"\n", b"\r\n") + b"\r", b"x" + stops]
    assert len({digest_with("stops.txt", variant) for variant in variants} | {DIGEST}) == 6


def test_a_change_in_free_text_makes_a_new_version() -> None:
    assert digest_with("modifications.txt", "Changes: none.\nSee below,\nor beside.\n") != DIGEST


def test_a_file_more_or_less_or_of_another_name_makes_a_new_version() -> None:
    assert digest_with("extra.txt", "") != DIGEST
    assert content_digest(feed_zip({name: FILES[name] for name in FILES if name != "logo.png"})) != DIGEST
    renamed = {name.replace("levels", "level"): content for name, content in FILES.items()}
    assert content_digest(feed_zip(renamed)) != DIGEST


def test_what_moves_from_one_file_to_the_next_makes_a_new_version() -> None:
    one = {"stops.txt": "ab", "stops2.txt": "c"}
    other = {"stops.txt": "a", "stops2.txt": "bc"}
    assert content_digest(feed_zip(one)) != content_digest(feed_zip(other))


def test_a_table_and_text_of_the_same_bytes_are_told_apart() -> None:
    # The second is the canonical form of the first, and no table.
    table = feed_zip({"stops.txt": 'h\n"a,b"\n'})
    assert content_digest(table) != content_digest(feed_zip({"stops.txt": b"h\na\xfcb\n"}))


def test_what_is_no_feed_has_no_digest() -> None:
    for data in (b"", b"not a zip", feed_zip({"trips.txt": "trip_id\n"})):
        with pytest.raises(FeedStructureError):
            content_digest(data)


@given(st.lists(STOP_TIME, max_size=8).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_any_order_of_stop_times_is_the_same_version(orders: tuple[StopTimes, StopTimes]) -> None:
    rows, shuffled = orders
    assert stop_times_digest(shuffled) == stop_times_digest(rows)


@given(st.lists(STOP_TIME, min_size=1, max_size=8), st.data())
def test_any_change_of_one_cell_of_stop_times_is_a_new_version(rows: StopTimes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, 2))
    cells = list(rows[position])
    cells[column] = data.draw(st.text(alphabet='T1 ,"\n\r', max_size=3).filter(lambda cell: cell != cells[column]))
    changed = [*rows[:position], (cells[0], cells[1], cells[2]), *rows[position + 1 :]]
    assert stop_times_digest(changed) != stop_times_digest(rows)


@given(st.dictionaries(st.sampled_from(["a.txt", "b.txt", "c.bin"]), st.binary(max_size=50)), st.randoms())
def test_the_digest_is_the_same_for_any_order_of_members(files: dict[str, bytes], order: random.Random) -> None:
    members = [("stops.txt", b"stop_id\n"), *files.items()]
    shuffled = list(members)
    order.shuffle(shuffled)
    assert content_digest(write_zip(members)) == content_digest(write_zip(shuffled))


def real_schedules() -> list[str]:
    folder = real_data_folder()
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.zip")) if folder else ["(absent)"]


@pytest.mark.parametrize("name", real_schedules())
def test_a_real_feed_written_anew_is_the_same_version(name: str) -> None:
    data = real_data_path(name).read_bytes()
    assert content_digest(Feed.from_bytes(data).to_bytes()) == content_digest(data)


def test_a_real_table_of_many_blocks_is_the_same_version_in_any_order_of_rows() -> None:
    data = real_data_path("sound_transit_2024-11/schedule.zip").read_bytes()
    header, *rows = Feed.from_bytes(data).member_bytes("stop_times.txt").splitlines(keepends=True)
    assert sum(map(len, rows)) > 8 << 20

    def digest_of(lines: list[bytes]) -> str:
        return content_digest(write_zip([("stops.txt", b"stop_id\n"), ("stop_times.txt", b"".join([header, *lines]))]))

    shuffled = random.Random(7).sample(rows, len(rows))
    assert digest_of(shuffled) == digest_of(rows)
    assert digest_of([*shuffled[:-1], shuffled[0]]) != digest_of(rows)


def test_what_sensors_and_realtime_load_brings_in_no_table_library(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import continuous_gtfs.gtfs.digest, continuous_gtfs.gtfs.schedule_index, continuous_gtfs.pipeline.running\n"
        "continuous_gtfs.gtfs.digest.content_digest(open(sys.argv[1], 'rb').read())\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    feed = tmp_path / "feed.zip"
    feed.write_bytes(feed_zip(FILES))
    run = subprocess.run([sys.executable, "-c", code, feed], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
