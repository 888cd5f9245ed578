from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.gtfs.zip_writing import ZIP_WRITER, write_zip

MEMBERS = [("stops.txt", b"stop_id\n" + b"".join(b"%d\n" % n for n in range(1000))), ("empty.txt", b"")]
names = st.text("abcdé日/._-", min_size=1, max_size=20)


@given(st.dictionaries(names, st.binary(max_size=200), max_size=6))
def test_a_reader_gets_back_what_was_written_in_its_order(files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(write_zip(files.items()))) as archive:
        assert archive.testzip() is None
        assert [(info.filename, archive.read(info)) for info in archive.infolist()] == list(files.items())


def test_another_process_writes_the_same_bytes() -> None:
    code = (
        "import hashlib\n"
        "from continuous_gtfs.gtfs.zip_writing import write_zip\n"
        f"print(hashlib.sha256(write_zip({MEMBERS!r})).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu"},
    )
    assert run.stdout.strip() == hashlib.sha256(write_zip(MEMBERS)).hexdigest()


def test_the_writer_is_named_with_its_version_and_level() -> None:
    assert re.fullmatch(r"zlib-ng \d+\.\d+\.\d+ level 6 in pieces of 1048576", ZIP_WRITER)


def test_members_are_plain_files_with_a_fixed_time() -> None:
    with zipfile.ZipFile(io.BytesIO(write_zip([("stops.txt", b"stop_id\n")]))) as archive:
        info = archive.infolist()[0]
    assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert info.external_attr >> 16 == 0o100644
    assert info.compress_type == zipfile.ZIP_DEFLATED


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip on this machine")
def test_unzip_finds_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "feed.zip"
    path.write_bytes(write_zip([("stops.txt", b"stop_id\nA\n"), ("café.txt", b"x" * 10_000), ("empty.txt", b"")]))
    run = subprocess.run(["unzip", "-tqq", path], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
