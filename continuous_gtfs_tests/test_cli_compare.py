"""`continuous-gtfs compare`: two realtime feeds compared from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.cli import main
from continuous_gtfs.realtime.messages import serialize_feed
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle


class Feeds:
    """Two files to compare."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths = folder / "a.pb", folder / "b.pb"
        self._capsys = capsys

    def write(self, before: FeedMessage, after: FeedMessage) -> None:
        for path, message in zip(self.paths, (before, after), strict=True):
            path.write_bytes(serialize_feed(message))

    def compare(self, *options: str) -> tuple[int, str, str]:
        """Exit code, what is on stdout and what is on stderr."""
        with pytest.raises(SystemExit) as stopped:
            main(["compare", *map(str, self.paths), *options])
        said = self._capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err


@pytest.fixture
def feeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Feeds:
    return Feeds(tmp_path, capsys)


def test_the_same_feed_is_the_same_at_every_level(feeds: Feeds) -> None:
    feeds.write(feed_message(vehicle("v", "a")), feed_message(vehicle("v", "a")))
    for level in "0123":
        assert feeds.compare("--level", level) == (
            0,
            "Level 0: the same bytes.\n1 entity before, 1 after: 1 the same\n",
            "",
        )


def test_another_order_is_the_same_from_level_2(feeds: Feeds) -> None:
    one, other = {"id": "1"} | vehicle("v", "a"), {"id": "2"} | vehicle("w", "a")
    feeds.write(feed_message(one, other), feed_message(other, one))
    assert [feeds.compare("--level", level)[0] for level in "0123"] == [1, 1, 0, 0]
    code, out, _ = feeds.compare()
    assert code == 0
    assert out.startswith("Level 2: the same content within the tolerances.\n")


def test_a_stale_vehicle_is_different_unless_level_3_is_enough(feeds: Feeds) -> None:
    stale = {"vehicle": {"vehicle": {"id": "v"}, "timestamp": 1_699_999_000}}
    feeds.write(feed_message(vehicle("w", "a"), stale), feed_message(vehicle("w", "a")))
    assert feeds.compare()[0] == 1
    assert feeds.compare("--level", "3")[0] == 0
    assert feeds.compare("--level", "3", "--tolerance", "stale_after_s=2000")[0] == 1


def test_a_difference_is_told_as_text_and_as_json(feeds: Feeds) -> None:
    feeds.write(feed_message(trip_update("t", "a")), feed_message(trip_update("t", "b"), trip_update("u", "b")))
    code, out, _ = feeds.compare()
    assert code == 1
    assert out.splitlines()[0] == "Different."
    assert "    trip_update.stop_time_update[stop_sequence 1].stop_id: a -> b" in out
    code, out, _ = feeds.compare("--json")
    assert code == 1
    assert [one["kind"] for one in json.loads(out)["differences"]] == ["changed", "added"]
    code, out, _ = feeds.compare("--json", "--sample", "0")
    assert (json.loads(out)["differences"], json.loads(out)["counts"]["added"]) == ([], 1)


def test_tolerances_can_be_narrower_and_wider(feeds: Feeds) -> None:
    feeds.write(feed_message(vehicle("v", "a")), feed_message(vehicle("v", "a"), timestamp=1_700_000_020))
    assert feeds.compare()[0] == 0
    assert feeds.compare("--exact")[0] == 1
    assert feeds.compare("--exact", "--tolerance", "header_timestamp_s=20")[0] == 0
    assert feeds.compare("--tolerance", "header_timestamp_s=10")[0] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tolerance", "postion_m=3"], "the names are header_timestamp_s, timestamp_s, prediction_s, position_m"),
        (["--tolerance", "position_m=far"], "'far' is no number"),
        (["--tolerance", "position_m=-1"], "tolerance position_m=-1.0"),
        (["--level", "4"], "--level"),
    ],
)
def test_what_the_user_did_wrong_is_one_line(feeds: Feeds, options: list[str], said: str) -> None:
    feeds.write(feed_message(), feed_message())
    code, _, err = feeds.compare(*options)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err


def test_a_feed_that_cannot_be_read_is_named(feeds: Feeds) -> None:
    feeds.write(feed_message(), feed_message())
    feeds.paths[1].write_bytes(b"<html>sign in</html>")
    code, out, err = feeds.compare()
    assert (code, out) == (2, "")
    assert err == f"error: {feeds.paths[1]}: the body of 20 bytes is no GTFS-Realtime FeedMessage but HTML or XML\n"
    feeds.paths[0].unlink()
    assert feeds.compare() == (2, "", f"error: there is no {feeds.paths[0]}\n")
