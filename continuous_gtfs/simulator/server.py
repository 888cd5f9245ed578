"""Runs the stand-in PIMS as a server: options, start, the ready line, a clean end."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.simulator.app import build_app
from continuous_gtfs.simulator.replay import ReplaySource
from continuous_gtfs.simulator.rhythm import VendorRhythm
from continuous_gtfs.simulator.sources import EDITIONS, FeedsSource, GeneratedSource
from continuous_gtfs.simulator.vendor import Vendor

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """How to run the stand-in.

    Attributes:
        host: Address to listen on. Beyond the loopback interface the control endpoints need ``control_token``.
        port: 0 takes a free one.
        token_production: What ``X-PIMS-Token`` must carry for the production edition.
        token_qa: Likewise for QA.
        replay: A folder of captures; None serves the generated agency.
        realtime_every_s: Seconds from one realtime version to the next, at least 1; None: only on demand.
        schedule_every_s: Likewise for the schedule, which a replay has one version of.
        trip_updates_lag_s: TripUpdates come so much later than the VehiclePositions of their version.
        jitter_s: Both come up to so much late, a different amount each time.
        drift_s: Each realtime version shifts all later ones by up to so much, back or forth.
        missed: The share of realtime versions that are left out.
        doubled: The share of realtime versions that a second one follows within the period.
        scale: Size of the generated agency.
        seed: Of the generated agency and of the jitter.
        shift_to_now: A replayed snapshot's header timestamp is the moment it is served for.
        control_token: What ``X-Control-Token`` must carry; None or empty leaves control open on the loopback interface.
        log_level: Name of a logging level.
    """

    host: str = "127.0.0.1"
    port: int = 4010
    token_production: str = field(repr=False)
    token_qa: str = field(repr=False)
    replay: Path | None = None
    realtime_every_s: float | None = 20.0
    schedule_every_s: float | None = None
    trip_updates_lag_s: float = 0.0
    jitter_s: float = 0.0
    drift_s: float = 0.0
    missed: float = 0.0
    doubled: float = 0.0
    scale: int = 1
    seed: int = 1
    shift_to_now: bool = True
    control_token: str | None = field(default=None, repr=False)
    log_level: str = "warning"

    def check(self) -> None:
        """Refuses options that make no sense.

        Raises:
            ConfigurationError: The message names the option, and no token's value.
        """
        for name in ("token_production", "token_qa", "control_token"):
            token = getattr(self, name) or ""
            if not (token.isascii() and token.isprintable() and (token or name == "control_token")):
                raise ConfigurationError(f"the simulator's {name} must be printable ASCII text, and not empty")
        for name in ("realtime_every_s", "schedule_every_s"):
            if (every_s := getattr(self, name)) is not None and not every_s >= 1:
                raise ConfigurationError(f"the simulator's {name} must be at least 1 second, not {every_s:g}")
        if min(self.trip_updates_lag_s, self.jitter_s) < 0 or (
            self.realtime_every_s is not None and self.trip_updates_lag_s + self.jitter_s >= self.realtime_every_s
        ):
            raise ConfigurationError(
                "the simulator's trip_updates_lag_s and jitter_s must not be negative and must together stay "
                "below realtime_every_s"
            )
        if not (0 <= self.missed < 1 and 0 <= self.doubled <= 1):
            raise ConfigurationError(
                "the simulator's missed and doubled are shares, from 0 to 1; not all can be missed"
            )
        if self.drift_s < 0 or (self.realtime_every_s is not None and self.drift_s >= self.realtime_every_s):
            raise ConfigurationError(
                "the simulator's drift_s must not be negative and must stay below realtime_every_s"
            )
        if self.scale < 1:
            raise ConfigurationError(f"the simulator's scale must be at least 1, not {self.scale}")
        if not 0 <= self.port < 65536:
            raise ConfigurationError(f"the simulator's port must be from 0 to 65535, not {self.port}")
        if self.log_level.upper() not in logging.getLevelNamesMapping():
            raise ConfigurationError(f"the simulator's log_level {self.log_level} is no logging level")


class Simulator:
    """One stand-in PIMS, ready to be served in an event loop of the caller's choice.

    Args:
        options: How to run it.
        now: The clock that feeds move by.

    Raises:
        ConfigurationError: An option makes no sense, or there is nothing to replay.
    """

    def __init__(self, options: SimulatorOptions, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options.check()
        self._options = options
        self._stopping = asyncio.Event()
        self._vendor = Vendor(
            _source(options, now()),
            now=now,
            realtime_every_s=options.realtime_every_s,
            schedule_every_s=options.schedule_every_s if options.replay is None else None,
            trip_updates_lag_s=options.trip_updates_lag_s,
            jitter_s=options.jitter_s,
            seed=options.seed,
            rhythm=_rhythm(options),
        )
        self._server: _Server | None = None

    async def serve(self, on_ready: Callable[[str], None]) -> None:
        """Serves until ``stop``; calls ``on_ready`` with the base URL once requests are answered.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        options = self._options
        # The schedules take the longest to make: made before the first request, not while it waits.
        if "schedule" in self._vendor.source.feeds:
            for edition in EDITIONS:
                self._vendor.document(edition, "schedule")
        app = build_app(
            self._vendor,
            tokens={"production": options.token_production, "qa": options.token_qa},
            control_token=options.control_token or "",
            is_control_open=_is_loopback(options.host),
            stopping=self._stopping,
        )
        listener = _listen(options.host, options.port)
        host = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config, stopping=self._stopping, on_started=lambda: on_ready(url))
        logging.getLogger("uvicorn.error").addFilter(_is_unexpected)
        try:
            await self._server.serve(sockets=[listener])
        finally:
            listener.close()

    def stop(self) -> None:
        """Ends ``serve`` within a second, whatever hangs. May be called from a signal handler or another thread."""
        if self._server is not None:
            self._server.should_exit = True


def run_simulator(options: SimulatorOptions) -> None:
    """Runs the stand-in until SIGTERM or SIGINT; prints one JSON line with its URLs when it is ready.

    Raises:
        ConfigurationError: An option makes no sense, there is nothing to replay, or the port is in use.
    """
    options.check()
    logging.basicConfig(level=options.log_level.upper(), stream=sys.stderr)
    simulator = Simulator(options)

    def print_ready(url: str) -> None:
        ready = {"simulator": url} | {edition: f"{url}/{edition}" for edition in EDITIONS}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()

    async def serve_until_signal() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, simulator.stop)
        await simulator.serve(print_ready)

    asyncio.run(serve_until_signal())


class _Server(uvicorn.Server):
    """Leaves signals to its caller, says when it has started, and ends the requests that hang before it waits."""

    def __init__(self, config: uvicorn.Config, *, stopping: asyncio.Event, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets=sockets)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """False for uvicorn's complaint about a body that ends early: that is what the fault is for."""
    return "without completing response" not in record.getMessage()


def _source(options: SimulatorOptions, started_at: datetime) -> FeedsSource:
    if options.replay is None:
        return GeneratedSource(seed=options.seed, scale=options.scale, started_at=started_at)
    if options.schedule_every_s is not None:
        _log.warning("a replay has one schedule only: schedule_every_s has no effect")
    return ReplaySource(options.replay, shift_to_now=options.shift_to_now)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigurationError(
            f"the simulator cannot listen on {host}:{port}: {error.strerror or error}; choose another port or host"
        ) from error


def _rhythm(options: SimulatorOptions) -> VendorRhythm | None:
    """The rhythm of realtime feeds where versions stray in more ways than by jitter."""
    if options.realtime_every_s is None or not (options.drift_s or options.missed or options.doubled):
        return None
    return VendorRhythm(
        period_s=options.realtime_every_s,
        jitter_s=options.jitter_s,
        drift_s=options.drift_s,
        missed=options.missed,
        doubled=options.doubled,
        seed=options.seed,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
