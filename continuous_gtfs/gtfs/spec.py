"""What the GTFS Schedule reference says of files: primary keys, ids and who refers to them. Data only.

Source: https://gtfs.org/documentation/schedule/reference/ (revision of 2025). One definition of each fact: the
cascade of removals, the reference check, the rewriting of ids, the digest and the diff all read it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

OnLoss = Literal["remove", "clear"]


@dataclass(frozen=True, slots=True)
class Reference:
    """One column whose cells name something that is defined elsewhere. A blank cell names nothing.

    Attributes:
        entity: What it names, a key of ``DEFINED_IN``.
        on_loss: What becomes of a row whose cell names something that was removed: ``remove`` where the row says
            nothing without it, ``clear`` where the cell is one attribute among others and may be blank.
    """

    file: str
    column: str
    entity: str
    on_loss: OnLoss = "remove"


DEFINED_IN: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "agency": (("agency.txt", "agency_id"),),
    "stop": (("stops.txt", "stop_id"),),
    "zone": (("stops.txt", "zone_id"),),
    "level": (("levels.txt", "level_id"),),
    "route": (("routes.txt", "route_id"),),
    "network": (("networks.txt", "network_id"), ("routes.txt", "network_id")),
    "trip": (("trips.txt", "trip_id"),),
    "service": (("calendar.txt", "service_id"), ("calendar_dates.txt", "service_id")),
    "shape": (("shapes.txt", "shape_id"),),
    "fare": (("fare_attributes.txt", "fare_id"),),
    "fare_media": (("fare_media.txt", "fare_media_id"),),
    "rider_category": (("rider_categories.txt", "rider_category_id"),),
    "fare_product": (("fare_products.txt", "fare_product_id"),),
    "timeframe_group": (("timeframes.txt", "timeframe_group_id"),),
    "leg_group": (("fare_leg_rules.txt", "leg_group_id"),),
    "area": (("areas.txt", "area_id"),),
    "location_group": (("location_groups.txt", "location_group_id"),),
    "booking_rule": (("booking_rules.txt", "booking_rule_id"),),
    "pathway": (("pathways.txt", "pathway_id"),),
    "attribution": (("attributions.txt", "attribution_id"),),
}
"""Where each kind of id is defined; an id defined in any of the places exists."""

REFERENCES: Final[tuple[Reference, ...]] = (
    Reference("stops.txt", "parent_station", "stop"),
    Reference("stops.txt", "level_id", "level", "clear"),
    Reference("routes.txt", "agency_id", "agency"),
    Reference("trips.txt", "route_id", "route"),
    Reference("trips.txt", "service_id", "service"),
    Reference("trips.txt", "shape_id", "shape", "clear"),
    Reference("stop_times.txt", "trip_id", "trip"),
    Reference("stop_times.txt", "stop_id", "stop"),
    Reference("stop_times.txt", "location_group_id", "location_group"),
    Reference("stop_times.txt", "pickup_booking_rule_id", "booking_rule", "clear"),
    Reference("stop_times.txt", "drop_off_booking_rule_id", "booking_rule", "clear"),
    Reference("fare_attributes.txt", "agency_id", "agency"),
    Reference("fare_rules.txt", "fare_id", "fare"),
    Reference("fare_rules.txt", "route_id", "route"),
    Reference("fare_rules.txt", "origin_id", "zone"),
    Reference("fare_rules.txt", "destination_id", "zone"),
    Reference("fare_rules.txt", "contains_id", "zone"),
    Reference("timeframes.txt", "service_id", "service"),
    Reference("fare_products.txt", "rider_category_id", "rider_category"),
    Reference("fare_products.txt", "fare_media_id", "fare_media"),
    Reference("fare_leg_rules.txt", "network_id", "network"),
    Reference("fare_leg_rules.txt", "from_area_id", "area"),
    Reference("fare_leg_rules.txt", "to_area_id", "area"),
    Reference("fare_leg_rules.txt", "from_timeframe_group_id", "timeframe_group"),
    Reference("fare_leg_rules.txt", "to_timeframe_group_id", "timeframe_group"),
    Reference("fare_leg_rules.txt", "fare_product_id", "fare_product"),
    Reference("fare_leg_join_rules.txt", "from_network_id", "network"),
    Reference("fare_leg_join_rules.txt", "to_network_id", "network"),
    Reference("fare_leg_join_rules.txt", "from_stop_id", "stop"),
    Reference("fare_leg_join_rules.txt", "to_stop_id", "stop"),
    Reference("fare_transfer_rules.txt", "from_leg_group_id", "leg_group"),
    Reference("fare_transfer_rules.txt", "to_leg_group_id", "leg_group"),
    Reference("fare_transfer_rules.txt", "fare_product_id", "fare_product"),
    Reference("stop_areas.txt", "area_id", "area"),
    Reference("stop_areas.txt", "stop_id", "stop"),
    Reference("route_networks.txt", "network_id", "network"),
    Reference("route_networks.txt", "route_id", "route"),
    Reference("frequencies.txt", "trip_id", "trip"),
    Reference("transfers.txt", "from_stop_id", "stop"),
    Reference("transfers.txt", "to_stop_id", "stop"),
    Reference("transfers.txt", "from_route_id", "route"),
    Reference("transfers.txt", "to_route_id", "route"),
    Reference("transfers.txt", "from_trip_id", "trip"),
    Reference("transfers.txt", "to_trip_id", "trip"),
    Reference("pathways.txt", "from_stop_id", "stop"),
    Reference("pathways.txt", "to_stop_id", "stop"),
    Reference("location_group_stops.txt", "location_group_id", "location_group"),
    Reference("location_group_stops.txt", "stop_id", "stop"),
    # A booking rule goes on being the rule of its stop times; only its calendar of business days is gone.
    Reference("booking_rules.txt", "prior_notice_service_id", "service", "clear"),
    Reference("attributions.txt", "agency_id", "agency"),
    Reference("attributions.txt", "route_id", "route"),
    Reference("attributions.txt", "trip_id", "trip"),
)

TRANSLATIONS: Final = "translations.txt"
TRANSLATED_RECORDS: Final[dict[str, str]] = {
    "agency": "agency",
    "stops": "stop",
    "routes": "route",
    "trips": "trip",
    "stop_times": "trip",
    "pathways": "pathway",
    "levels": "level",
    "attributions": "attribution",
}
"""``table_name`` of translations.txt: what its ``record_id`` names; of a stop time, the trip."""

PRIMARY_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "agency.txt": ("agency_id",),
    "stops.txt": ("stop_id",),
    "routes.txt": ("route_id",),
    "trips.txt": ("trip_id",),
    "stop_times.txt": ("trip_id", "stop_sequence"),
    "calendar.txt": ("service_id",),
    "calendar_dates.txt": ("service_id", "date"),
    "fare_attributes.txt": ("fare_id",),
    "fare_rules.txt": ("fare_id", "route_id", "origin_id", "destination_id", "contains_id"),
    "timeframes.txt": ("timeframe_group_id", "start_time", "end_time", "service_id"),
    "rider_categories.txt": ("rider_category_id",),
    "fare_media.txt": ("fare_media_id",),
    "fare_products.txt": ("fare_product_id", "rider_category_id", "fare_media_id"),
    "fare_leg_rules.txt": (
        "network_id",
        "from_area_id",
        "to_area_id",
        "from_timeframe_group_id",
        "to_timeframe_group_id",
        "fare_product_id",
    ),
    "fare_leg_join_rules.txt": ("from_network_id", "to_network_id", "from_stop_id", "to_stop_id"),
    "fare_transfer_rules.txt": (
        "from_leg_group_id",
        "to_leg_group_id",
        "fare_product_id",
        "transfer_count",
        "duration_limit",
    ),
    "areas.txt": ("area_id",),
    "stop_areas.txt": ("area_id", "stop_id"),
    "networks.txt": ("network_id",),
    "route_networks.txt": ("route_id",),
    "shapes.txt": ("shape_id", "shape_pt_sequence"),
    "frequencies.txt": ("trip_id", "start_time"),
    "transfers.txt": (
        "from_stop_id",
        "to_stop_id",
        "from_trip_id",
        "to_trip_id",
        "from_route_id",
        "to_route_id",
    ),
    "pathways.txt": ("pathway_id",),
    "levels.txt": ("level_id",),
    "location_groups.txt": ("location_group_id",),
    "location_group_stops.txt": ("location_group_id", "stop_id"),
    "booking_rules.txt": ("booking_rule_id",),
    "translations.txt": ("table_name", "field_name", "language", "record_id", "record_sub_id", "field_value"),
    "feed_info.txt": (),
    "attributions.txt": ("attribution_id",),
}
"""The columns that name a row of each CSV file of the reference. In none does the order of rows mean anything."""
