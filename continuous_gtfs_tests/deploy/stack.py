"""docker-compose.yml without Docker: each service's command, environment, order, health check and stop, as processes.

What a container has to itself is made of what one machine has: a service's host name is a loopback address of its own,
so ports stay as they are; the image's files are a folder, volumes are links in it to other folders, and each service
has a /tmp of its own. A process sees nothing of the environment of the tests.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from continuous_gtfs.demo.postgres import DATABASE, EmbeddedPostgres, binaries
from continuous_gtfs.demo.process_tree import end_trees, is_alive, members, wait_for
from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.deploy.compose import Service
from continuous_gtfs_tests.real_data import ROOT
from tools.dockerfile import stages

POSTGRES = "postgres"
HEALTHY_WITHIN_S = 90.0
LOOK_EVERY_S = 0.3
GOES_WITHIN_S = 5.0
INSIDE = re.compile(r"(?<![\w./])/(app|data|tmp)(?=/|$)")


@dataclass(frozen=True)
class Stopped:
    """How a service ended: its exit code, negative for a signal, and the seconds it took."""

    code: int
    after_s: float
    left_over: int


@dataclass
class Stack:
    """The services of docker-compose.yml over one folder.

    Attributes:
        folder: Takes the volumes, the image's files and the logs.
        settings: What stands in ``.env``.
        dockerfiles: What the image is built from: the release, and an agency's own on top.
    """

    folder: Path
    settings: Mapping[str, str]
    dockerfiles: tuple[Path, ...] = (ROOT / "Dockerfile",)
    services: dict[str, Service] = field(init=False)
    running: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        profiles = set(self.settings.get("COMPOSE_PROFILES", "").split(","))
        self.services = {
            name: service
            for name, service in compose.services(self.settings).items()
            if not service.profiles or profiles & set(service.profiles)
        }
        self._block = _free_block()
        self._database = EmbeddedPostgres(self.volume("postgres"), log=self.log(POSTGRES))
        self._lay_out_image()

    def address(self, name: str) -> str:
        """The loopback address that stands for the host name of a service."""
        return f"{self._block}.{10 + list(self.services).index(name)}"

    def volume(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    @property
    def image(self) -> Path:
        """What stands for the root of the image's file system, which is read-only in a container."""
        return self.folder / "image"

    # up and down

    def up(self) -> None:
        """Start every service once what it depends on is healthy or done; returns when all are healthy."""
        waiting, starting = [name for name in self.services if name not in self.running], list[str]()
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        ready = set(self.running)
        while waiting or starting:
            for name in [name for name in waiting if set(self.services[name].needs) <= ready]:
                waiting.remove(name)
                starting.append(name)
                self.start(name)
            for name in list(starting):
                if self._is_ready(name):
                    starting.remove(name)
                    ready.add(name)
            assert time.monotonic() < deadline, f"not healthy: {starting}, waiting: {waiting}, see {self.folder}/logs"
            time.sleep(LOOK_EVERY_S)

    def start(self, name: str) -> None:
        service = self.services[name]
        if name == POSTGRES:
            self._make_database()
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                self._command(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(name),
                cwd=self.image / "app",
                start_new_session=True,
            )

    def down(self) -> dict[str, Stopped]:
        """Stop everything, what depends on others before them, each with its own signal and grace."""
        ended: dict[str, Stopped] = {}
        while self.running:
            needed = {needed for name in self.running for needed in self._all_needs(name)}
            ended |= self.stop([name for name in self.running if name not in needed])
        return ended

    def _all_needs(self, name: str) -> set[str]:
        needs = set(self.services[name].needs)
        return needs.union(*(self._all_needs(needed) for needed in needs))

    def stop(self, names: list[str]) -> dict[str, Stopped]:
        """Stop some at once, as ``docker compose stop`` does; what does not end within its grace is killed."""
        processes = {name: self.running.pop(name) for name in names}
        begun = time.monotonic()
        trees = {name: members(process.pid) for name, process in processes.items()}
        for name, process in processes.items():
            process.send_signal(signal.Signals[self.services[name].stop_signal])
        ended = {}
        for name, process in processes.items():
            try:
                process.wait(max(0.0, begun + self.services[name].stop_grace_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            after_s = time.monotonic() - begun
            left = [each for each in trees[name] if each.pid != process.pid]
            # What it started sees the end of its pipe, and goes.
            wait_for(left, timeout_s=GOES_WITHIN_S)
            ended[name] = Stopped(process.returncode, after_s, sum(is_alive(each) for each in left))
            end_trees({process.pid: signal.SIGKILL}, grace_s=0)
        return ended

    def kill(self) -> None:
        """End everything at once; nothing is left of a test that failed."""
        end_trees({process.pid: signal.SIGKILL for process in self.running.values()}, grace_s=0)
        for process in self.running.values():
            process.wait()
        self.running.clear()

    # inside a container

    def is_healthy(self, name: str) -> bool:
        return self.check_health(name).returncode == 0

    def check_health(self, name: str) -> subprocess.CompletedProcess[bytes]:
        """The service's own health check; its ``localhost`` is the service's address."""
        service = self.services[name]
        assert service.health is not None
        program, *arguments = service.health
        command = [str(binaries() / program) if name == POSTGRES else _script(program), *arguments]
        if "grpc" in arguments or "http" in arguments:
            command.append(self.address(name))
        return self._run(name, command)

    def exec(self, name: str, *command: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command as in the container of a service: ``docker compose exec NAME COMMAND``."""
        first = str(binaries() / command[0]) if name == POSTGRES else _script(command[0])
        return self._run(name, [first, *(self._inside(word, name) for word in command[1:])], data)

    def type(self, line: str, here: Path) -> str:
        """Carry out a line of ``docker compose`` as an operator types it in the folder ``here``; gives what it prints.

        Raises:
            AssertionError: The command failed, or is none that is known here.
        """
        words = shlex.split(line)
        source = (here / words[words.index("<") + 1]).read_bytes() if "<" in words else b""
        target = here / words[words.index(">") + 1] if ">" in words else None
        words = words[: next((place for place, word in enumerate(words) if word in "<>"), len(words))]
        match words:
            case ["docker", "compose", "build"]:
                return ""
            case ["docker", "compose", "up", "--detach"]:
                self.up()
                return ""
            case ["docker", "compose", "stop", *names]:
                self.stop([name for name in names if name in self.running])
                return ""
            case ["docker", "compose", "exec", "-T", name, *command]:
                told = self.exec(name, *command, data=source)
                assert told.returncode == 0, f"{line}: {told.stderr.decode()}"
                if target is not None:
                    target.write_bytes(told.stdout)
                return told.stdout.decode(errors="replace")
        raise AssertionError(f"not known here: {line}")

    def environment(self, name: str) -> dict[str, str]:
        """What the image and the service set, and nothing else."""
        image = {} if name == POSTGRES else self._image_environment()
        own = {key: self._inside(value, name) for key, value in {**image, **self.services[name].environment}.items()}
        own = {key: self.address(value) if value in self.services else value for key, value in own.items()}
        own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
        own["TMPDIR"] = str(self._tmp(name))
        if name == POSTGRES:
            own |= {
                "PGHOST": self.address(name),
                "PGPASSWORD": own["POSTGRES_PASSWORD"],
                "PGUSER": own["POSTGRES_USER"],
            }
        return own

    def _run(self, name: str, command: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            env=self.environment(name),
            cwd=self.image / "app",
            input=data,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def _is_ready(self, name: str) -> bool:
        code = self.running[name].poll()
        if self.services[name].health is None:
            if code is not None:
                assert code == 0, f"{name} ended with {code}: see {self.log(name)}"
                self.running.pop(name)
            return code is not None
        assert code is None, f"{name} ended by itself with {code}: see {self.log(name)}"
        return self.is_healthy(name)

    def _command(self, service: Service) -> list[str]:
        program, *arguments = service.command
        if service.name == POSTGRES:
            flags = {"listen_addresses": self.address(POSTGRES), "unix_socket_directories": ""}
            ours = [part for key, value in flags.items() for part in ("-c", f"{key}={value}")]
            return self._database.command(program, "-D", str(self._database.data_dir), *ours, *arguments)
        return [_script(program), *(self._inside(word, service.name) for word in arguments)]

    def _inside(self, text: str, name: str) -> str:
        """A path, host name or address of a container as one of this machine."""
        if text == "0.0.0.0":
            return self.address(name)
        text = re.sub(r"@([\w-]+):", lambda match: f"@{self.address(match[1])}:", text)
        return INSIDE.sub(lambda match: str(self._tmp(name) if match[1] == "tmp" else self.image / match[1]), text)

    def _tmp(self, name: str) -> Path:
        folder = self.folder / "tmp" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _lay_out_image(self) -> None:
        """What the last stage of the Dockerfile copies, and the links that stand for mounted volumes."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        for dockerfile in self.dockerfiles:
            for instruction in stages(dockerfile)[-1]:
                if instruction.name == "COPY" and "--from=" not in instruction.text:
                    source, target = instruction.text.split()
                    inside = Path("app", target.removeprefix("/app/"))
                    _copy(dockerfile.parent / source, self.image / inside)
        for service in self.services.values():
            for path, volume in service.volumes.items():
                link = self.image / path.lstrip("/")
                if service.name != POSTGRES and not link.exists():
                    self.volume(volume).mkdir(parents=True, exist_ok=True)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(self.volume(volume))

    def _image_environment(self) -> dict[str, str]:
        """The ENV of the last stages; an ARG is filled in as docker-compose.yml does, by its build arguments."""
        arguments = next(each.raw["build"]["args"] for each in self.services.values() if "build" in each.raw)
        lines = [each for file in self.dockerfiles for each in stages(file)[-1] if each.name == "ENV"]
        pairs = [pair.partition("=") for line in lines for pair in line.text.split()]
        return {name: arguments.get(value.removeprefix("$"), value) for name, _, value in pairs}

    def image_files(self) -> set[str]:
        """What lies in the image itself: not in volumes, and not in a /tmp."""
        found = (path for path in self.image.rglob("*") if path.is_file() and not path.is_symlink())
        return {path.relative_to(self.image).as_posix() for path in found}

    def _make_database(self) -> None:
        """What the entry point of the PostgreSQL image does at the first start: a superuser with a password."""
        if (self._database.data_dir / "PG_VERSION").exists():
            return
        told = self.services[POSTGRES].environment
        assert told["POSTGRES_DB"] == DATABASE
        with self._database as url, closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(
                f"create role {told['POSTGRES_USER']} superuser login password %s", (told["POSTGRES_PASSWORD"],)
            )
        with (self._database.data_dir / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.0/8 scram-sha-256\n")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _script(program: str) -> str:
    return sys.executable if program == "python" else str(Path(sys.executable).parent / program)


def _free_block() -> str:
    """A /24 of loopback addresses that nothing listens on as yet."""
    for number in range(os.getpid(), os.getpid() + 1000):
        block = f"127.{1 + number % 254}.{number // 254 % 256}"
        with socket.socket() as attempt:
            try:
                attempt.bind((f"{block}.10", 5432))
            except OSError:
                continue
        return block
    raise AssertionError("no free loopback addresses")
