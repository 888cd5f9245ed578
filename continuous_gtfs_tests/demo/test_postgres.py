from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from continuous_gtfs.demo.child import ProcessFailedError
from continuous_gtfs.demo.postgres import EmbeddedPostgres, binaries
from continuous_gtfs.errors import ConfigurationError


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: pytest's own may be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        yield Path(name)


def ask(url: str, statement: str) -> object:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def test_it_is_postgresql_18_and_a_second_start_carries_on_from_its_data(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as url:
        assert str(ask(url, "show server_version")).startswith("18.")
        ask(url, "create table kept (value text)")
    with EmbeddedPostgres(folder / "data") as url:
        assert ask(url, "select count(*) from kept") == 0


def test_a_closed_folder_above_the_data_keeps_its_mode_and_serves(folder: Path) -> None:
    home = folder / "home"
    (home / "state").mkdir(parents=True)
    home.chmod(0o700)
    above = [*(home / "state" / "data").parents, *binaries().parents]
    modes = {path: path.stat().st_mode for path in above}

    with EmbeddedPostgres(home / "state" / "data") as url:
        assert ask(url, "select 1") == 1
        assert {path: path.stat().st_mode for path in above} == modes
        assert stat.S_IMODE((home / "state" / "data").stat().st_mode) == 0o700

    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_server_never_runs_as_root_and_keeps_no_more_than_the_right_to_pass_through_folders(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data")
    with server:
        assert server.process is not None
        fields = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapPrm"], 16) in (0, 1 << 1, 1 << 2)
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16)


def test_a_path_too_long_for_a_socket_gets_a_private_socket_folder_that_goes_with_the_server(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60) / "data"
    server = EmbeddedPostgres(deep)
    assert server.socket_dir != server.data_dir
    with server as url:
        assert ask(url, "select 1") == 1
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert not server.socket_dir.exists()


def test_a_second_server_on_the_same_data_is_refused(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as url:
        with pytest.raises(ConfigurationError, match="in use"):
            EmbeddedPostgres(folder / "data").start()
        assert ask(url, "select 1") == 1


def test_a_pid_file_that_names_some_other_living_process_does_not_stop_it_from_starting(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data"):
        pass
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'data'}\n")
    with EmbeddedPostgres(folder / "data") as url:
        assert ask(url, "select 1") == 1


def test_a_server_that_outlived_its_killed_owner_is_ended_and_replaced(folder: Path) -> None:
    script = (
        "import sys, pathlib, signal\n"
        "from continuous_gtfs.demo.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(folder / "data")], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        leftover = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
    assert leftover.is_running()

    server = EmbeddedPostgres(folder / "data")
    with server as url:
        assert ask(url, "select 1") == 1
        assert server.process is not None
        assert server.process.pid != leftover.pid
    assert not leftover.is_running()


def test_what_a_cut_off_initdb_left_is_not_taken_for_a_database(folder: Path) -> None:
    (folder / "data.new").mkdir()
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder / "data") as url:
        assert ask(url, "select 1") == 1
    assert not (folder / "data.new").exists()


def test_a_server_that_cannot_start_says_why_in_one_line(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data"):
        pass
    with (folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(ProcessFailedError, match=r"postgres ended by itself: .*") as caught:
        EmbeddedPostgres(folder / "data").start()
    assert "\n" not in str(caught.value)
    assert str(folder / "data.log") in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_clear_error(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot use .*file"):
        EmbeddedPostgres(folder / "file" / "data").start()
