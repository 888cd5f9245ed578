"""The pictures as their readers take them in: drawn elements, and the sentence beside them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.age_history import AgeHistory
from continuous_gtfs.realtime.pictures import Picture, age_chart, vehicle_map
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


def drawn(picture: Picture) -> list[list[tuple[int, int]]]:
    """The starts of the lines of each path, in order."""
    root = ElementTree.fromstring(picture.svg)
    paths = [path.get("d") or "" for path in root.iter("{http://www.w3.org/2000/svg}path")]
    return [[(int(x), int(y)) for x, y in re.findall(r"M(-?\d+),(-?\d+)", path)] for path in paths]


def words(picture: Picture) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")]


def published(*publications: tuple[float, float]) -> AgeHistory:
    """So many minutes before noon, each with its age."""
    history = AgeHistory()
    for before, age_s in sorted(publications, reverse=True):
        history = history.with_publication(at=NOON - timedelta(minutes=before), age_s=age_s)
    return history


def test_north_is_above_and_east_is_right() -> None:
    (south_west, north_east), off_trip, _ = drawn(vehicle_map(feed((47.5, -122.4), (47.7, -122.2))))
    assert south_west[0] < north_east[0]
    assert south_west[1] > north_east[1]
    assert off_trip == []


def test_a_degree_east_is_drawn_shorter_than_a_degree_north_far_from_the_equator() -> None:
    (corner, *others), _, _ = drawn(vehicle_map(feed((60.0, 10.0), (61.0, 10.0), (60.0, 11.0))))
    east = max(x for x, _ in [corner, *others]) - min(x for x, _ in [corner, *others])
    north = max(y for _, y in [corner, *others]) - min(y for _, y in [corner, *others])
    assert north / east == pytest.approx(2.03, rel=0.02)


def test_vehicles_on_a_trip_and_off_it_are_told_apart() -> None:
    message = feed((47.5, -122.4), (47.7, -122.2), (47.6, -122.3))
    message.entity[1].vehicle.ClearField("trip")
    picture = vehicle_map(message)
    assert [len(path) for path in drawn(picture)[:2]] == [2, 1]
    assert picture.text == "3 vehicles, 2 on a trip (blue), 1 not (orange)"


def test_a_place_that_is_none_is_counted_and_not_drawn() -> None:
    message = feed((47.5, -122.4), (0, 0), (float("nan"), 1), (95, 10), (47.6, -122.3))
    message.entity.add(id="no position").vehicle.trip.trip_id = "T"
    message.entity.add(id="deleted", is_deleted=True)
    picture = vehicle_map(message)
    assert len(drawn(picture)[0]) == 2
    assert picture.text.endswith("; 4 without a position")


def test_one_vehicle_on_another_continent_does_not_shrink_the_rest_to_a_dot() -> None:
    places = [(47 + number / 100, -122 + number / 100) for number in range(30)]
    picture = vehicle_map(feed(*places, (51.5, 0.1)))
    assert len(drawn(picture)[0]) == 30
    assert "1 far outside the map" in picture.text


def test_many_vehicles_are_drawn_as_fewer_dots_and_the_picture_stays_small() -> None:
    places = [(47 + row / 100, -122 + column / 100) for row in range(50) for column in range(60)]
    picture = vehicle_map(feed(*places))
    dots = len(drawn(picture)[0])
    assert 100 < dots <= 300
    assert picture.text.startswith("3,000 vehicles")
    assert f"drawn as {dots} dots" in picture.text
    assert len(picture.markdown()) < 4000


def test_vehicles_in_one_place_are_one_dot_in_the_middle() -> None:
    picture = vehicle_map(feed((47.5, -122.4), (47.5, -122.4)))
    ((place,), _, _) = drawn(picture)
    assert place == (300, 183)
    assert "drawn as 1 dots" in picture.text


def test_no_vehicle_is_a_sentence_in_place_of_a_map() -> None:
    assert vehicle_map(feed()).text == "No vehicle says where it is"
    picture = vehicle_map(feed((0, 0)))
    assert picture.text == "No vehicle says where it is (1 without a position)"
    assert words(picture) == [picture.text]


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    picture = vehicle_map(feed((47.0, -122.0), (48.0, -122.0)))
    (south, north), _, _ = drawn(picture)
    (label,) = words(picture)
    bar = re.search(r"h-(\d+)", picture.svg)
    assert bar is not None
    pixels_a_km = abs(south[1] - north[1]) / 111.2
    assert int(bar[1]) / pixels_a_km == pytest.approx(float(label.removesuffix(" km")), rel=0.02)


def test_a_publication_is_a_bar_from_its_youngest_to_its_oldest_age() -> None:
    picture = age_chart(published((0, 1.0), (0, 5.0), (300, 2.0)), now=NOON)
    _, bars = drawn(picture)
    assert [x for x, _ in bars] == sorted(x for x, _ in bars)
    assert len(bars) == 2
    assert words(picture) == ["5 s", "2.5 s", "0 s", "6 h before", "12:00 UTC"]
    assert picture.text == (
        "Age at publication since 07:00 UTC: 1.0 to 5.0 s; in half of the minutes at most 3.5 s; "
        "299 minutes without a publication"
    )


def test_what_is_older_than_the_chart_is_not_on_it() -> None:
    _, bars = drawn(age_chart(published((500, 2.0), (1, 1.0)), now=NOON))
    assert len(bars) == 1
    assert age_chart(published((500, 2.0)), now=NOON).text == "Nothing was published in the last hours"


def test_six_hours_without_a_gap_are_a_small_picture() -> None:
    picture = age_chart(published(*((minute, 0.5 + minute % 7) for minute in range(360))), now=NOON)
    assert "without a publication" not in picture.text
    assert len(picture.markdown()) < 2500


def test_an_age_from_the_future_or_beyond_the_scale_stays_inside_the_picture() -> None:
    picture = age_chart(published((1, -20.0), (2, 4000.0)), now=NOON)
    for x, y in drawn(picture)[1]:
        assert 0 < x < 600
        assert 0 < y < 140


def test_the_markdown_is_an_image_whose_address_holds_the_very_svg() -> None:
    picture = age_chart(published((1, 2.0)), now=NOON)
    image, _, sentence = picture.markdown().partition("\n\n")
    address = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml,([^ <>#()]+)\)", image)
    assert address is not None
    assert unquote(address[2]) == picture.svg
    assert address[1] == sentence == picture.text


@pytest.mark.parametrize("path", captures())
def test_a_real_feed_becomes_a_small_picture(path: Path) -> None:
    message = FeedMessage.FromString(path.read_bytes())
    picture = vehicle_map(message)
    placed = [entity for entity in message.entity if entity.HasField("vehicle") and entity.vehicle.HasField("position")]
    assert bool(drawn(picture)) == bool(placed)
    assert len(picture.markdown()) < 4500
