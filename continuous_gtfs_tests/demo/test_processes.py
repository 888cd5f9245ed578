from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.child import ProcessFailedError, has_answer
from continuous_gtfs.demo.processes import Platform, StartStoppedError
from continuous_gtfs.demo.settings import read_environment
from continuous_gtfs.errors import ConfigurationError


@pytest.fixture
def state() -> Iterator[Path]:
    """A short path: pytest's own may be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="state-") as name:
        yield Path(name)


def services(state: Path, **options: object) -> Platform:
    return Platform(state, names=commands.SERVICES, **options)  # type: ignore[arg-type]


def test_services_start_serve_restart_alone_and_leave_nothing_running(state: Path) -> None:
    with services(state) as platform:
        assert has_answer(platform.url("simulator"))
        assert has_answer(platform.url("published"))
        assert read_environment(state / "env") == dict(platform.environment)
        first = {name: psutil.Process(platform.pid(name)) for name in commands.SERVICES}

        with pytest.raises(ConfigurationError, match=r"in use by another demo.*--state"):
            services(state).start()

        platform.stop_process("published")
        assert not has_answer(platform.url("published"))
        platform.check()
        platform.start_process("published")
        assert has_answer(platform.url("published"))

        platform.kill_process("simulator")
        platform.start_process("simulator")
        assert has_answer(platform.url("simulator"))
        again = {name: psutil.Process(platform.pid(name)) for name in commands.SERVICES}
        assert again["postgres"] == first["postgres"]
        assert again["published"] != first["published"]
        assert again["simulator"] != first["simulator"]
    assert [process for process in [*first.values(), *again.values()] if process.is_running()] == []


def test_a_process_that_dies_by_itself_is_found(state: Path) -> None:
    with services(state) as platform:
        psutil.Process(platform.pid("simulator")).kill()
        psutil.Process(platform.pid("simulator")).wait(10)
        with pytest.raises(ProcessFailedError, match=r"^simulator ended by itself"):
            platform.check()


def test_a_process_that_cannot_start_stops_the_others_and_says_why(state: Path) -> None:
    platform = services(state, simulator_options=("--scale", "0"))
    with pytest.raises(ProcessFailedError, match=r"simulator ended by itself \(exit code 2\): error: .*--scale"):
        platform.start()
    assert platform.postgres.process is None
    assert not has_answer(platform.url("published"))


def test_a_start_that_nobody_wants_any_more_is_given_up(state: Path) -> None:
    platform = services(state, should_stop=lambda: True)
    with pytest.raises(StartStoppedError):
        platform.start()
    assert not has_answer(platform.url("published"))


def test_a_port_in_use_stops_the_start_before_anything_is_touched(state: Path) -> None:
    with services(state) as platform:
        other = state.with_name(state.name + "-other")
        with pytest.raises(ConfigurationError, match="--port-base"):
            services(other, ports=platform.ports).start()
        assert not other.exists()


def test_an_unknown_process_is_not_stopped_in_silence(state: Path) -> None:
    with pytest.raises(KeyError):
        services(state).stop_process("simulator")
