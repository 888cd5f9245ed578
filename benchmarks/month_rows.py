"""Writing the rows of a simulated hour: the template's with other run ids and later times, a statement for all at once.

Rows go through the real tables with all their indexes. What a run rewrites in place (its own row, the pages of assets,
cursors, heartbeats) is rewritten as often as in the template, each time in a transaction of its own: that is what
leaves dead rows behind.

Not a benchmark of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from month_template import Template
from sqlalchemy import Connection, Engine, text

# What is rewritten in these is new, an indexed column at times: a run's and a tick's status, a check's result.
_NEW_ROWS = {
    "runs": "update_timestamp = update_timestamp + interval '1 microsecond'",
    "job_ticks": "status = status",
    "asset_check_executions": "execution_status = execution_status",
}
# Run ids are uuids made of the template's id, the hour and the number of the copy.
_NEW_RUN = "CASE WHEN {run} = '' OR {run} IS NULL THEN {run} ELSE md5({run} || :hour || c.n)::uuid::text END"
_AT = "(CAST(:at AS timestamp) + ({column} - b.at) + c.n * CAST(:apart AS interval))"
_FROM = (
    "FROM month.{table} t JOIN month.began b USING (kind) "
    "CROSS JOIN generate_series(0, :copies - 1) AS c(n) WHERE t.kind = :kind"
)


class Rows:
    """Writes into the database of a template.

    Args:
        engine: Of the template's database, with a transaction for each statement unless one is begun.
    """

    def __init__(self, engine: Engine, template: Template) -> None:
        self._engine = engine
        self._template = template
        with engine.connect() as connection:
            columns = connection.execute(
                text(
                    "SELECT table_name, string_agg(quote_ident(column_name), ',' ORDER BY ordinal_position) "
                    "FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"
                )
            )
            self._columns = {table: names.split(",") for table, names in columns}
            self._size = {
                table: int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
                for table in template.rewritten
            }
            self._in_window = {
                table: int(
                    connection.execute(text(f"SELECT count(*) FROM month.{table} WHERE kind = 'update'")).scalar_one()
                )
                for table in _NEW_ROWS
            }

    def write(self, kind: str, at: datetime, *, copies: int, apart_s: float) -> None:
        """``copies`` of all that is of a kind, the first at ``at``, the others each ``apart_s`` later."""
        values = {
            "kind": kind,
            "hour": at.isoformat(),
            "at": at.replace(tzinfo=None),
            "copies": copies,
            "apart": f"{apart_s} seconds",
            # Each hour that is packed, each schedule version: a partition of its own.
            "partition": f"{at:%Y-%m-%d-%H:%M}",
        }
        with self._engine.begin() as connection:
            # Rows of the same moment lie together, as they would.
            self._insert(connection, "runs", values)
            self._insert(connection, "run_tags", values)
            first, ordinals = self._events(connection, values)
            event = f"{first} + c.n * {ordinals} + o.ordinal"
            self._insert(connection, "asset_event_tags", values, event_id=event)
            self._insert(connection, "asset_check_executions", values, evaluation_event_storage_id=event)
            self._insert(connection, "job_ticks", values)

    def rewrite(self, copies: int) -> None:
        """What so many windows rewrite in tables whose rows stay, a transaction for each time.

        Of such a table all rows are rewritten, as often as that makes as many as were seen.
        """
        loops = " ".join(
            f"FOR i IN 1..{max(1, round(count / self._size[table]))} LOOP UPDATE {table} SET id = id; COMMIT; END LOOP;"
            for table, count in self._template.rewritten.items()
            if table not in _NEW_ROWS and self._size[table]
        )
        with self._engine.connect() as connection:
            connection.execute(text(f"DO $$ BEGIN FOR n IN 1..{copies} LOOP {loops} END LOOP; END $$"))

    def newest(self) -> dict[str, int]:
        """The last ids in the tables that ``rewrite_new`` is for."""
        with self._engine.connect() as connection:
            return {
                table: int(connection.execute(text(f"SELECT coalesce(max(id), 0) FROM {table}")).scalar_one())
                for table in _NEW_ROWS
            }

    def rewrite_new(self, after: Mapping[str, int]) -> None:
        """The rows that are newer than those ids, as often as they were seen to be rewritten."""
        with self._engine.connect() as connection:
            for table, change in _NEW_ROWS.items():
                for _ in range(round(self._template.rewritten.get(table, 0) / max(1, self._in_window[table]))):
                    connection.execute(text(f"UPDATE {table} SET {change} WHERE id > {after[table]}"))

    def run_ids(self, after: int) -> list[str]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(f"SELECT run_id FROM runs WHERE id > {after}")).scalars())

    def _events(self, connection: Connection, values: dict[str, object]) -> tuple[int, int]:
        """Insert the events; the id before the first of them, and how many a copy has."""
        count = int(
            connection.execute(text("SELECT count(*) FROM month.event_logs WHERE kind = :kind"), values).scalar_one()
        )
        last = connection.execute(text("SELECT nextval('event_logs_id_seq')")).scalar_one()
        wanted = {
            "id": f"{last} + c.n * {count} + o.ordinal",
            "run_id": _NEW_RUN.format(run="t.run_id"),
            "event": f"replace(t.event, nullif(t.run_id, ''), {_NEW_RUN.format(run='t.run_id')})",
            "timestamp": _AT.format(column='t."timestamp"'),
        }
        wanted["event"] = f"coalesce({wanted['event']}, t.event)"
        self._insert(connection, "event_logs", values, **wanted)
        copies = int(str(values["copies"]))
        connection.execute(text(f"SELECT setval('event_logs_id_seq', {last + copies * count + 1})"))
        return int(last), count

    def _insert(self, connection: Connection, table: str, values: dict[str, object], **given: str) -> None:
        chosen: dict[str, str] = {}
        for column in self._columns[table]:
            bare = column.strip('"')
            if bare in given:
                chosen[column] = given[bare]
            elif bare == "id":
                continue
            elif bare == "run_id":
                chosen[column] = _NEW_RUN.format(run="t.run_id")
            elif bare == "partition":
                chosen[column] = f"CASE WHEN t.{column} IS NULL THEN NULL ELSE CAST(:partition AS text) END"
            elif bare == "run_body":
                chosen[column] = f"replace(t.run_body, t.run_id, {_NEW_RUN.format(run='t.run_id')})"
            elif bare.endswith("timestamp"):
                chosen[column] = _AT.format(column=f"t.{column}")
            elif bare in ("start_time", "end_time"):
                chosen[column] = (
                    f"t.{column} - extract(epoch FROM b.at) + extract(epoch FROM CAST(:at AS timestamp)) "
                    "+ c.n * extract(epoch FROM CAST(:apart AS interval))"
                )
            else:
                chosen[column] = f"t.{column}"
        source = _FROM.format(table=table)
        if any("o.ordinal" in value for value in given.values()):
            event = {"event_logs": "id", "asset_event_tags": "event_id"}.get(table, "evaluation_event_storage_id")
            source = source.replace(" CROSS JOIN", f" JOIN month.ordinals o ON o.id = t.{event} CROSS JOIN", 1)
        connection.execute(
            text(
                f"INSERT INTO {table} ({', '.join(chosen)}) SELECT {', '.join(chosen.values())} {source} "
                "ORDER BY c.n, t.id"
            ),
            values,
        )
