from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.gtfs_diff_v2 import gtfs_diff_v2
from continuous_gtfs.gtfs.diff.markdown import markdown
from continuous_gtfs.gtfs.diff.pictures import stops_map_png, trips_by_date_png
from continuous_gtfs.gtfs.diff.report import FeedDiff
from continuous_gtfs.gtfs.escaping import escaped
from continuous_gtfs_tests.builders import csv_text, small_feed_files
from continuous_gtfs_tests.gtfs.diff.feeds import diff_of, edited, feed

PNG = b"\x89PNG\r\n\x1a\n"
MANY = csv_text("level_id,level_index", *(f"L{number},0" for number in range(90)))


def mixed_diff(sample: int = 20) -> FeedDiff:
    before = edited("stops.txt") | {"levels.txt": MANY, "logo.png": "PNG"}
    after = (
        edited("stops.txt", ("Mill Street", "Mill St"), ("47.640000", "47.650000"))
        | edited("trips.txt", ("DAY,T1", "DAY,X1"))
        | edited("stop_times.txt", ("T1,", "X1,"))
        | edited("feed_info.txt", ("small-1", '"small ""2"", new"'))
        | {"levels.txt": MANY.replace(",0\n", ",1\n"), "areas.txt": csv_text("area_id", "A1")}
    )
    return diff_of(after, before, sample=sample)


def v2(diff: FeedDiff) -> dict[str, object]:
    moment = datetime(2026, 4, 8, 14, 30, tzinfo=UTC)
    return gtfs_diff_v2(
        diff,
        base_source="before.zip",
        base_downloaded_at=moment,
        new_source="after.zip",
        new_downloaded_at=moment,
        generated_at=moment,
    )


def test_the_summary_of_the_same_content_is_one_line() -> None:
    assert diff_of({}).to_text() == "The same content: 8 files.\n"
    assert markdown(diff_of({})) == "**The same content**: 8 files.\n"


def test_the_summary_says_what_people_ask_in_a_few_lines() -> None:
    assert mixed_diff().to_text().splitlines() == [
        "7 of 11 files differ.",
        "  areas.txt: added; 1 row",
        "  feed_info.txt: changed; 1 row changed",
        "  levels.txt: changed; 90 rows changed",
        "  stop_times.txt: changed; 3 rows the same but for a new trip_id",
        "  stops.txt: changed; 2 rows changed",
        "  trips.txt: changed; 1 row the same but for a new trip_id",
        "  logo.png: removed; compared as bytes",
        "Stops: 1 moved, 1 renamed, 2 changed in any way",
        "  moved: N (North End) 1,112.0 m",
        "  renamed: M 'Mill Street' is now 'Mill St'",
        "Trips: 3 before, 3 after",
        "  1 the same under a new trip_id",
        "Service before: 2026-01-01 to 2026-12-31",
        "Service after: 2026-01-01 to 2026-12-31",
    ]


def test_the_summary_stays_short_whatever_the_feed_holds() -> None:
    stops = csv_text(
        "stop_id,stop_name,stop_lat,stop_lon",
        *(f"Z{number},{'x' * 5000}\u202e,47.6,-122.3" for number in range(500)),
    )
    unknown = {f"file{number}.txt": "a\n1\n" for number in range(100)}
    text = diff_of({"stops.txt": stops, **unknown}).to_text()
    assert len(text.splitlines()) < 50
    assert max(map(len, text.splitlines())) < 200
    assert "\u202e" not in text


def test_the_v2_form_has_the_fields_of_its_schema() -> None:
    said = v2(mixed_diff(sample=50))
    assert said["metadata"] == {
        "schema_version": "2.0.0",
        "generated_at": "2026-04-08T14:30:00Z",
        "row_changes_cap_per_file": 50,
        "base_feed": {"source": "before.zip", "downloaded_at": "2026-04-08T14:30:00Z"},
        "new_feed": {"source": "after.zip", "downloaded_at": "2026-04-08T14:30:00Z"},
        "unsupported_files": [{"file_name": "logo.png", "present_in": "base"}],
    }
    summary = said["summary"]
    assert isinstance(summary, dict)
    assert {name: count for name, count in summary.items() if name != "files"} == {
        "total_changes": 96,
        "files_added_count": 1,
        "files_deleted_count": 0,
        "files_modified_count": 5,
    }
    assert summary["files"][1:3] == [
        {"file_name": "feed_info.txt", "status": "modified", "rows_modified_count": 1},
        {"file_name": "levels.txt", "status": "modified", "rows_modified_count": 90},
    ]


def test_the_v2_form_lists_rows_up_to_the_cap_and_says_what_it_left_out() -> None:
    said = v2(mixed_diff(sample=50))
    files = said["file_diffs"]
    assert isinstance(files, list)
    by_name = {file["file_name"]: file for file in files}
    assert by_name["areas.txt"] == {
        "file_name": "areas.txt", "file_action": "added", "columns_added_list": ["area_id"], "columns_deleted_list": [],
    }  # fmt: skip
    levels = by_name["levels.txt"]
    assert levels["truncated"] == {"is_truncated": True, "omitted_count": 40}
    assert levels["row_changes"]["modified_list"][0] == {
        "identifier": {"level_id": "L0"},
        "raw_value": "L0,0",
        "base_line_number": 2,
        "new_line_number": 2,
        "field_changes": [{"field": "level_index", "base_value": "0", "new_value": "1"}],
    }
    assert len(levels["row_changes"]["modified_list"]) == 50
    assert "truncated" not in by_name["stops.txt"]
    info = by_name["feed_info.txt"]["row_changes"]
    assert info["primary_key"] == info["columns_list"], "a key has at least one column in that form"


def test_the_v2_form_names_no_change_of_a_row_that_shows_none() -> None:
    """The row names another trip by the same trip_id: the two trips have exchanged their numbers."""
    exchanged = {
        name: edited(name, ("T1", "T0"), ("T2", "T1"), ("T0", "T2"))[name] for name in ("trips.txt", "stop_times.txt")
    }
    named = csv_text("attribution_id,trip_id,organization_name", "1,T1,Small Transit")
    diff = diff_of(exchanged | {"attributions.txt": named + "2,,Small Transit\n"}, {"attributions.txt": named})
    assert (diff.trips.renumbered.count, diff.trips.retimed.count) == (2, 0)
    said = v2(diff)["file_diffs"]
    assert isinstance(said, list)
    assert said[0]["row_changes"]["modified_list"] == []
    assert said[0]["truncated"] == {"is_truncated": True, "omitted_count": 1}


def test_the_v2_form_wants_instants_and_not_wall_clocks() -> None:
    moment = datetime(2026, 4, 8, 14, 30)
    with pytest.raises(ValueError, match="no time zone"):
        gtfs_diff_v2(
            mixed_diff(),
            base_source="",
            base_downloaded_at=moment,
            new_source="",
            new_downloaded_at=moment,
            generated_at=moment,
        )


def test_pictures_are_small_and_the_same_each_time() -> None:
    for draw in (trips_by_date_png, stops_map_png):
        first, second = (draw(mixed_diff()) for _ in range(2))
        assert first.startswith(PNG)
        assert first == second
        assert len(first) < 60_000
        assert b"matplotlib" not in first.lower()


def test_pictures_are_the_same_in_another_process_and_need_no_display_and_no_pandas() -> None:
    script = (
        "import sys, hashlib\n"
        "from continuous_gtfs_tests.gtfs.diff.test_reports import mixed_diff\n"
        "from continuous_gtfs.gtfs.diff.markdown import markdown\n"
        "print(hashlib.sha256(markdown(mixed_diff()).encode()).hexdigest())\n"
        "print(sorted({'pandas', 'matplotlib.pyplot', 'tkinter'} & set(sys.modules)))\n"
    )
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.splitlines()[1] == "[]"


@pytest.mark.parametrize(
    "replaced",
    [
        {"stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nX,,,\n"},
        {"stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nX,$\\frac{,0,0\n"},
        {"stops.txt": "stop_id\n"},
        {"stops.txt": "stop_id,stop_name\nX\n"},
        {"calendar.txt": "service_id\n"},
        {"calendar.txt": small_feed_files()["calendar.txt"].splitlines()[0] + "\n"},
    ],
)
def test_pictures_of_feeds_with_nothing_to_show_say_so(replaced: dict[str, str]) -> None:
    diff = diff_feeds(feed(replaced), feed({**replaced, "areas.txt": "area_id\nA\n"}))
    assert trips_by_date_png(diff).startswith(PNG)
    assert stops_map_png(diff).startswith(PNG)


@pytest.mark.parametrize("days", [1, 2, 9, 40, 100, 250, 800, 2000, 3000, 12000])
def test_every_span_of_dates_has_a_scale(days: int) -> None:
    first = date(2026, 1, 1)
    before = feed(small_feed_files(first_date=first, last_date=first))
    after = feed(small_feed_files(first_date=first, last_date=first + timedelta(days=days - 1)))
    assert trips_by_date_png(diff_feeds(before, after)).startswith(PNG)


def test_a_stop_at_the_end_of_the_world_does_not_shrink_the_map_to_a_dot() -> None:
    stops = small_feed_files()["stops.txt"]
    near = "".join(f"P{number},Post,47.6{number:02},-122.3{number:02},0,\n" for number in range(90))
    diff = diff_of({"stops.txt": stops + near + "ZERO,Null Island,0,0,0,\n"})
    alone = diff_of({"stops.txt": stops + near})
    assert stops_map_png(diff) != stops_map_png(alone)
    assert len(stops_map_png(diff)) > 0.8 * len(stops_map_png(alone))


def test_markdown_shows_the_pictures_and_the_tables() -> None:
    text = markdown(mixed_diff())
    assert len(re.findall(r"!\[[^\]]*\]\(data:image/png;base64,[A-Za-z0-9+/=]+\)", text)) == 2
    assert "| stops&#46;txt | changed | 0 | 0 | 2 |  |" in text
    assert "data:image" not in markdown(mixed_diff(), pictures=False)
    assert len(text) < 170_000


EVIL = (
    "<img src=x onerror=alert(1)>|[click](javascript:alert(1)) `code` **bold** &lt; "
    "https://evil.example www.evil.example"
)


def test_nothing_that_a_feed_says_is_read_as_markup() -> None:
    stops = small_feed_files()["stops.txt"].replace("Mill Street", f'"{EVIL}"')
    name = "bad](x)<b>.txt"
    text = markdown(diff_of({"stops.txt": stops, name: "a\n1\n"} | edited("routes.txt", ("N7,A,N7", "<N>,A,|"))), False)
    for mark in ("<", "`", "](", "https:", "javascript:", "www.", "**bold", "&lt;"):
        assert mark not in text, mark
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.count("|") in (7, 9), line


def test_an_escaped_text_reads_as_it_was() -> None:
    import html

    assert html.unescape(escaped("Pike & 3rd <east> | _x_ #1")) == "Pike & 3rd <east> | _x_ #1"
    assert escaped("Ostrów Świętokrzyski") == "Ostrów Świętokrzyski"
    assert escaped("two\nlines\u202e") == "two lines "
    assert html.unescape(escaped("x" * 500)) == "x" * 99 + "…"


def test_a_diff_survives_json() -> None:
    said = json.loads(json.dumps(mixed_diff().to_dict()))
    assert [file["file"] for file in said["files"]][:2] == ["areas.txt", "feed_info.txt"]
    assert said["service"]["trips_by_date"][0] == {"date": str(date(2026, 1, 1)), "before": 3, "after": 3}
