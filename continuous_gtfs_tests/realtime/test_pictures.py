"""The pictures as their readers take them in: drawn elements, and the sentence beside them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.realtime.age_history import AgeHistory
from continuous_gtfs.realtime.pictures import SHOWN_AT_ONCE, Picture, age_chart, vehicle_map
from continuous_gtfs_tests.realtime.captures import captures

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def feed(*places: tuple[float, float], trip_id: str = "T") -> FeedMessage:
    """Vehicles at these latitudes and longitudes."""
    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    for number, (latitude, longitude) in enumerate(places):
        vehicle = message.entity.add(id=str(number)).vehicle
        vehicle.trip.trip_id = trip_id
        vehicle.position.latitude, vehicle.position.longitude = latitude, longitude
    return message


SVG = "{http://www.w3.org/2000/svg}"


def dots(picture: Picture, colour: str = "dodgerblue") -> list[tuple[int, int]]:
    """Where the dots of a colour are, in the order in which they are drawn."""
    places = []
    for path in ElementTree.fromstring(picture.svg).iter(f"{SVG}path"):
        if path.get("stroke") == colour:
            x = y = 0
            for across, down in re.findall(r"m(-?\d+),?(-?\d+)h0", path.get("d") or ""):
                x, y = x + int(across), y + int(down)
                places.append((x, y))
    return places


def steps(picture: Picture) -> list[tuple[int, int]]:
    """The steps of the chart from left to right: how wide and how high each is."""
    (path,) = [path for path in ElementTree.fromstring(picture.svg).iter(f"{SVG}path") if path.get("fill")]
    found, height = [], 0
    for up, across in re.findall(r"(?:v(-?\d+))?h(\d+)", path.get("d") or ""):
        height -= int(up or 0)
        found.append((int(across), height))
    return found


def words(picture: Picture) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def published(*publications: tuple[float, float]) -> AgeHistory:
    """So many minutes before noon, each with its age."""
    history = AgeHistory()
    for before, age_s in sorted(publications, reverse=True):
        history = history.with_publication(at=NOON - timedelta(minutes=before), age_s=age_s)
    return history


def test_north_is_above_and_east_is_right() -> None:
    picture = vehicle_map(feed((47.5, -122.4), (47.7, -122.2)))
    south_west, north_east = dots(picture)
    assert south_west[0] < north_east[0]
    assert south_west[1] > north_east[1]
    assert dots(picture, "chocolate") == []


def test_a_degree_east_is_drawn_shorter_than_a_degree_north_far_from_the_equator() -> None:
    places = dots(vehicle_map(feed((60.0, 10.0), (61.0, 10.0), (60.0, 11.0))))
    east, north = (max(one) - min(one) for one in zip(*places, strict=True))
    assert north / east == pytest.approx(2.03, rel=0.05)


def test_vehicles_on_a_trip_and_off_it_are_told_apart() -> None:
    message = feed((47.5, -122.4), (47.7, -122.2), (47.6, -122.3))
    message.entity[1].vehicle.ClearField("trip")
    picture = vehicle_map(message)
    assert (len(dots(picture)), len(dots(picture, "chocolate"))) == (2, 1)
    assert picture.facts == ("3 vehicles, 2 on a trip (blue), 1 not (orange)",)


def test_a_place_that_is_none_is_counted_and_not_drawn() -> None:
    message = feed((47.5, -122.4), (0, 0), (float("nan"), 1), (95, 10), (47.6, -122.3))
    message.entity.add(id="no position").vehicle.trip.trip_id = "T"
    message.entity.add(id="deleted", is_deleted=True)
    picture = vehicle_map(message)
    assert len(dots(picture)) == 2
    assert picture.facts == ("2 vehicles, 2 on a trip (blue), 0 not (orange)", "4 without a position")


def test_one_vehicle_on_another_continent_does_not_shrink_the_rest_to_a_dot() -> None:
    places = [(47 + number / 100, -122 + number / 100) for number in range(30)]
    picture = vehicle_map(feed(*places, (51.5, 0.1)))
    assert len(dots(picture)) == 30
    assert "1 far outside the map" in picture.facts


@pytest.mark.parametrize("count", [1, 30, 149, 3000])
def test_however_many_vehicles_the_map_is_small_enough_to_be_shown_at_once(count: int) -> None:
    places = [(47 + (number * 37 % 101) / 100, -122 + (number * 53 % 211) / 100) for number in range(count)]
    picture = vehicle_map(feed(*places))
    assert len(picture.markdown()) < SHOWN_AT_ONCE
    drawn = len(dots(picture))
    assert picture.facts[0].startswith(f"{count:,} vehicles")
    assert (f"drawn as {drawn} dots, close ones as one" in picture.facts) == (drawn < count)
    assert drawn >= min(count, 40)


@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), max_size=80))
def test_wherever_vehicles_say_they_are_each_is_counted(places: list[tuple[float, float]]) -> None:
    picture = vehicle_map(feed(*places))
    ElementTree.fromstring(picture.svg)
    assert len(picture.markdown()) < SHOWN_AT_ONCE
    (width, height) = (160, 100)
    assert all(-12 <= x <= width + 12 and -12 <= y <= height + 12 for x, y in dots(picture))
    counts = [int(fact.split()[0]) for fact in picture.facts if re.match(r"\d+ (vehicles|without)", fact)]
    assert sum(counts) == len(places)


def test_vehicles_in_one_place_are_one_dot_in_the_middle() -> None:
    picture = vehicle_map(feed((47.5, -122.4), (47.5, -122.4)))
    assert dots(picture) == [(80, 46)]
    assert "drawn as 1 dots, close ones as one" in picture.facts


def test_no_vehicle_is_a_sentence_in_place_of_a_map() -> None:
    assert vehicle_map(feed()).facts == ("No vehicle says where it is",)
    picture = vehicle_map(feed((0, 0)))
    assert picture.facts == ("No vehicle says where it is", "1 without a position")
    assert words(picture) == [picture.facts[0]]


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    picture = vehicle_map(feed((47.0, -122.0), (48.0, -122.0)))
    (_, north), (_, south) = dots(picture)
    (label,) = words(picture)
    bar = re.search(r"stroke='gray' d='M2,98h(\d+)'", picture.svg)
    assert bar is not None
    assert int(bar[1]) * 111.2 / abs(south - north) == pytest.approx(float(label.removesuffix(" km")), rel=0.05)


def test_the_chart_is_as_high_as_the_oldest_publication_of_some_minutes() -> None:
    picture = age_chart(published((0, 1.0), (0, 5.0), (300, 2.0)), now=NOON)
    assert steps(picture) == [(22, 0), (2, 13), (118, 0), (2, 32)]
    assert words(picture) == ["5 s", "0", "6 h before", "12:00 UTC"]
    assert picture.facts == (
        "1.0 to 5.0 s old at publication since 07:00 UTC",
        "at most 3.5 s in half of the minutes",
        "299 minutes without a publication",
    )


def test_what_is_older_than_the_chart_is_not_on_it() -> None:
    assert [width for width, height in steps(age_chart(published((500, 2.0), (1, 1.0)), now=NOON)) if height] == [2]
    assert age_chart(published((500, 2.0)), now=NOON).facts == ("Nothing was published in the last hours",)


def test_six_hours_that_change_all_the_time_are_shown_at_once() -> None:
    picture = age_chart(published(*((minute, 0.5 + minute * 7 % 89) for minute in range(360))), now=NOON)
    assert len(picture.facts) == 2
    assert len(picture.markdown()) < SHOWN_AT_ONCE
    assert sum(width for width, _ in steps(picture)) == 144


def test_an_age_from_the_future_or_beyond_the_scale_stays_inside_the_picture() -> None:
    heights = {height for _, height in steps(age_chart(published((10, -20.0), (20, 4000.0)), now=NOON))}
    assert heights == {0, 1, 32}


def test_the_markdown_is_an_image_whose_address_holds_the_very_svg() -> None:
    picture = age_chart(published((1, 2.0)), now=NOON)
    image, _, facts = picture.markdown().partition("\n\n")
    address = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml,([^ <>#()]+)\)", image)
    assert address is not None
    assert unquote(address[2]) == picture.svg
    assert address[1] == "Age at publication"
    assert facts.splitlines() == [f"- {fact}" for fact in picture.facts]


@pytest.mark.parametrize("path", captures())
def test_a_real_feed_becomes_a_small_picture(path: Path) -> None:
    message = FeedMessage.FromString(path.read_bytes())
    picture = vehicle_map(message)
    placed = [entity for entity in message.entity if entity.HasField("vehicle") and entity.vehicle.HasField("position")]
    assert bool(dots(picture) or dots(picture, "chocolate")) == bool(placed)
    assert len(picture.markdown()) < SHOWN_AT_ONCE
