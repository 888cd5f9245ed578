"""An hour of a realtime feed as one Parquet file: rows to bytes and back. Where packs lie is in ``packs``.

A row is a snapshot, as the vendor sent it (``fetched``) or as it went out (``published``): the columns of ``_COLUMNS``,
its bytes, and its entities as a list of structs for those who analyse. Only ``record`` and ``body`` are read back here,
so a file of older or newer columns is read the same.

Rows are ordered so that what is alike lies together, and a page holds many of them, since that is what makes a file
small: one snapshot is nearly the one before it. Nothing here imports pandas; what PyArrow does with Python values
would, so values go in as JSON and as memory. It is imported late: who only asks for small files never pays for it.
"""

from __future__ import annotations

import io
import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson

from continuous_gtfs.errors import ArchiveCorruptError
from continuous_gtfs.versions import FeedVersion

if TYPE_CHECKING:
    import pyarrow as pa

FORM = "1"
"""Number of the written form, in the file's metadata; a reader refuses another."""

_FORM_KEY = b"continuous_gtfs.pack"
# Measured on an hour of generated and of real snapshots: 12 saves 2 % more in twice the time, 19 saves 15 % in twenty
# times. From level 9 on zstd looks back 4 MiB, so larger groups would gain little.
_LEVEL = 9
_GROUP_BYTES = 16 * 2**20
_COLUMNS = {
    "kind": "string",
    "version_id": "string",
    "label": "string",
    "snapshot_at": "int64",
    "header_timestamp": "uint64",
    "body_digest": "string",
    "body_bytes": "int64",
    "record": "string",
}

SnapshotKind = Literal["fetched", "published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSnapshot:
    """One feed as it went out, and what it was made from.

    Attributes:
        version: The input version of the same feed.
        label: Of the publication.
        published_at: UTC.
        body_digest: SHA-256 (hex) of the published protobuf.
        body_bytes: Its length.
        facts: The manifest's: all input versions, the schedule, code version, run.
    """

    version: FeedVersion
    label: str
    published_at: datetime
    body_digest: str
    body_bytes: int
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": self.version.to_dict(),
            "label": self.label,
            "published_at": self.published_at.astimezone(UTC).isoformat(),
            "body_digest": self.body_digest,
            "body_bytes": self.body_bytes,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PublishedSnapshot:
        return cls(
            version=FeedVersion.from_dict(fields["version"]),
            label=fields["label"],
            published_at=datetime.fromisoformat(fields["published_at"]),
            body_digest=fields["body_digest"],
            body_bytes=fields["body_bytes"],
            facts=fields["facts"],
        )


Record = FeedVersion | PublishedSnapshot
Name = tuple[SnapshotKind, str]


@dataclass(frozen=True, slots=True)
class EntityColumns:
    """How entities become columns; the archive itself knows nothing of messages.

    Attributes:
        types: Column to ``string``, ``bool``, ``int64``, ``uint64``, ``float`` (32 bits) or ``double``.
        rows_of: A snapshot's entities as rows of these columns; None where the bytes are no message. A value that is
            left out is null.
    """

    types: Mapping[str, str]
    rows_of: Callable[[bytes], list[dict[str, Any]] | None]


def record_name(record: Record) -> Name:
    """What identifies a row within the packs of a feed: version_id or label."""
    if isinstance(record, PublishedSnapshot):
        return "published", record.label
    return "fetched", record.version_id


def _order(record: Record) -> tuple[float, str, str, str]:
    """As fetched, each followed by what was published of it: the two are nearly the same bytes."""
    kind, name = record_name(record)
    version = record.version if isinstance(record, PublishedSnapshot) else record
    return version.fetched_at.timestamp(), version.version_id, kind, name


def write_pack(
    records: Iterable[Record], body_of: Callable[[Record], bytes], entities: EntityColumns, facts: Mapping[str, str]
) -> bytes:
    """The rows as a Parquet file; the same rows, in any order, give the same bytes.

    Args:
        body_of: Asked for each row once, in the order of the file, so that a large hour is never in memory whole.
        facts: Written into the file's metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.type_for_alias(alias) for name, alias in _COLUMNS.items()}
    entity = pa.struct([(name, pa.type_for_alias(alias)) for name, alias in entities.types.items()])
    in_json = pa.schema([*columns.items(), ("entities", pa.list_(entity))])
    written = in_json.set(in_json.get_field_index("snapshot_at"), pa.field("snapshot_at", pa.timestamp("us", tz="UTC")))
    written = written.append(pa.field("body", pa.binary())).with_metadata(
        {_FORM_KEY: FORM.encode(), **{key.encode(): value.encode() for key, value in sorted(facts.items())}}
    )
    compared = ["kind", "version_id", "label", "body_digest"]
    nested = [f"entities.list.element.{name}" for name, alias in entities.types.items() if alias == "string"]
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer,
        written,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=[*compared, *nested],
        write_statistics=[*compared, "snapshot_at", "header_timestamp"],
        # One page for a group: zstd sees no further than a page.
        data_page_size=2 * _GROUP_BYTES,
    ) as writer:
        for group in _groups(sorted(records, key=_order), body_of):
            writer.write_table(_table(group, entities, in_json, written))
    return buffer.getvalue()


def _groups(records: Iterable[Record], body_of: Callable[[Record], bytes]) -> Iterator[list[tuple[Record, bytes]]]:
    group: list[tuple[Record, bytes]] = []
    size = 0
    for record in records:
        body = body_of(record)
        if group and size + len(body) > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append((record, body))
        size += len(body)
    if group:
        yield group


def _table(
    group: list[tuple[Record, bytes]], entities: EntityColumns, in_json: pa.Schema, written: pa.Schema
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as pa_json

    lines = b"\n".join(orjson.dumps(_row(record) | {"entities": entities.rows_of(body)}) for record, body in group)
    table = pa_json.read_json(
        io.BytesIO(lines),
        # One block, since a line may be as long as a message.
        read_options=pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=pa_json.ParseOptions(explicit_schema=in_json, unexpected_field_behavior="error"),
    )
    arrays = {name: table.column(name).chunk(0) for name in in_json.names}
    arrays["snapshot_at"] = arrays["snapshot_at"].view(written.field("snapshot_at").type)
    bodies = [body for _, body in group]
    offsets = array("i", itertools.accumulate(map(len, bodies), initial=0))
    arrays["body"] = pa.Array.from_buffers(
        pa.binary(), len(bodies), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(bodies))]
    )
    return pa.Table.from_arrays([arrays[name] for name in written.names], schema=written)


def _row(record: Record) -> dict[str, Any]:
    kind, name = record_name(record)
    is_published = isinstance(record, PublishedSnapshot)
    version = record.version if isinstance(record, PublishedSnapshot) else record
    at = record.published_at if isinstance(record, PublishedSnapshot) else record.fetched_at
    return {
        "kind": kind,
        "version_id": version.version_id,
        "label": name if is_published else None,
        "snapshot_at": int(at.timestamp()) * 1_000_000 + at.microsecond,
        "header_timestamp": version.header_timestamp,
        "body_digest": record.body_digest,
        "body_bytes": record.body_bytes,
        # In the order of its facts: that of the inputs is the one in which steps saw them.
        "record": orjson.dumps(record.to_dict()).decode(),
    }


class PackFile:
    """A pack that was read: its records at once, bodies when asked for.

    Args:
        data: The whole file.
        name: For errors.

    Raises:
        ArchiveCorruptError: It is no pack, or one of another form.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._name = name
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data))
            form = (self._file.schema_arrow.metadata or {}).get(_FORM_KEY, b"none").decode()
            if form != FORM:
                raise ArchiveCorruptError(f"{name} has form {form}, this version reads {FORM}")
            self._rows = [
                (group, row, _record(kind, text))
                for group in range(self._file.num_row_groups)
                for row, (kind, text) in enumerate(self._columns(group, ["kind", "record"]))
            ]
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise ArchiveCorruptError(f"{name} is no pack of snapshots ({error}); restore it from a backup") from error
        self._held: tuple[int, list[bytes]] | None = None
        self._places = {record_name(record): (group, row) for group, row, record in self._rows}

    @property
    def records(self) -> list[Record]:
        """In the order of the file."""
        return [record for _, _, record in self._rows]

    def body(self, record: Record) -> bytes:
        """The bytes of one of ``records``; fast where they are asked for in order.

        Raises:
            ArchiveCorruptError: They cannot be read.
        """
        import pyarrow as pa

        group, row = self._places[record_name(record)]
        if self._held is None or self._held[0] != group:
            try:
                self._held = group, [body for (body,) in self._columns(group, ["body"])]
            except (pa.ArrowException, OSError) as error:
                raise ArchiveCorruptError(f"{self._name} is damaged ({error}); restore it from a backup") from error
        return self._held[1][row]

    def _columns(self, group: int, names: list[str]) -> Iterator[tuple[Any, ...]]:
        table = self._file.read_row_group(group, columns=names, use_threads=False)
        # Value by value, since to_pylist imports pandas.
        return zip(*([value.as_py() for value in table.column(name)] for name in names), strict=True)


def _record(kind: str, text: str) -> Record:
    fields = orjson.loads(text)
    return PublishedSnapshot.from_dict(fields) if kind == "published" else FeedVersion.from_dict(fields)
