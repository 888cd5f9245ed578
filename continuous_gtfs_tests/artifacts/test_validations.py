from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.validations import Validations

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def test_the_newest_reports_stay(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    validations = Validations(store, "qa")
    keys = [
        validations.save_report(AT + timedelta(minutes=15 * number), str(number).encode(), keep=3)
        for number in range(5)
    ]
    assert keys[0] == "validation/qa/reports/20260304T120000Z.json"
    assert list(store.list("validation/")) == keys[2:]
    assert store.read(keys[-1]) == b"4"


def test_a_report_of_the_same_time_is_written_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for body in (b"one", b"two"):
        key = Validations(store, "qa").save_report(AT, body, keep=3)
    assert store.read(key) == b"two"


def test_one_prepared_schedule_is_kept_for_each_environment(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    qa, production = (Validations(store, environment) for environment in ("qa", "production"))
    assert qa.prepared("first") is None
    for name in ("first", "second"):
        qa.save_prepared(name, name.encode())
        production.save_prepared("first", b"of production")
    assert (qa.prepared("first"), qa.prepared("second")) == (None, b"second")
    assert production.prepared("first") == b"of production"
