"""`continuous-gtfs copy` between folders, and into a bucket that is not there."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.cli import main
from continuous_gtfs_tests.artifacts.publishing import assert_live, publish_numbered

NAME = "realtime/production/vehicle_positions"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["copy", *arguments])
    # A command leaves nothing to the collector, since its process ends; this one goes on.
    gc.unfreeze()
    code = stopped.value.code
    assert isinstance(code, int)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_copy_counts_what_it_did_and_its_exit_code_says_whether_all_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    publish_numbered(Publisher(LocalStore(source)), NAME, 1)
    code, said, _ = call(capsys, str(source), str(target), "--dry-run")
    assert (code, said.split(" (")[0], target.exists()) == (0, "5 objects would be copied", False)
    code, said, _ = call(capsys, str(source), str(target))
    assert (code, said.split(" (")[0]) == (0, "5 objects copied")
    assert_live(LocalStore(target), NAME, 1)
    publish_numbered(Publisher(LocalStore(source)), NAME, 2)
    code, said, _ = call(capsys, str(source), str(target))
    assert code == 1
    assert "2 objects copied" in said
    assert f"{NAME}.manifest.json: is another at the target; replace it" in said
    code, said, _ = call(capsys, str(source), str(target), "--replace-changed")
    assert (code, "3 that had changed replaced" in said) == (0, True)
    assert_live(LocalStore(target), NAME, 2)


@pytest.mark.parametrize(
    ("target", "told"), [("gs://x", "names no bucket"), ("s3://bucket", "no store serves"), ("", "is empty")]
)
def test_what_is_no_store_is_the_users_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, told: str
) -> None:
    publish_numbered(Publisher(LocalStore(tmp_path)), NAME, 1)
    code, _, said = call(capsys, str(tmp_path), target)
    assert code == 2
    assert told in said
    assert "Traceback" not in said
