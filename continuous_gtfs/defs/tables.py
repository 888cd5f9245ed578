"""Tables for Dagster's pages, made of records whose texts may be a feed's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from continuous_gtfs.foreign_text import shown

Record = Mapping[str, str | int | float]


def table(columns: Mapping[str, str], records: Iterable[Record]) -> TableMetadataValue:
    """The records as metadata; their texts on one line each, and cut where they are very long.

    Args:
        columns: Name to type: ``string``, ``int`` or ``float``.
    """
    schema = TableSchema(columns=[TableColumn(name, kind) for name, kind in columns.items()])
    return MetadataValue.table(
        records=[
            TableRecord({name: shown(value) if isinstance(value, str) else value for name, value in record.items()})
            for record in records
        ],
        schema=schema,
    )
