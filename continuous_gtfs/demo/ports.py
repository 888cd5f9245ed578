"""The ports of a platform on 127.0.0.1: chosen from a base, or any that are free; checked before use."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from continuous_gtfs.errors import ConfigurationError

HOST = "127.0.0.1"
DEFAULT_BASE = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One port a listening process. PostgreSQL has none: it listens on a socket in its folder."""

    webserver: int
    published: int
    simulator: int
    code_schedule: int
    code_realtime: int

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Five ports in a row from ``base`` on."""
        if not 1 <= base <= 65535 - 4:
            raise ConfigurationError(f"--port-base {base}: five ports in a row from it must exist (1 to 65531)")
        names = ("webserver", "published", "simulator", "code_schedule", "code_realtime")
        return cls(**{name: base + offset for offset, name in enumerate(names)})

    @classmethod
    def free(cls) -> Ports:
        """Five ports that were free a moment ago."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
            for each in sockets:
                each.bind((HOST, 0))
            numbers = [each.getsockname()[1] for each in sockets]
        return cls(
            webserver=numbers[0],
            published=numbers[1],
            simulator=numbers[2],
            code_schedule=numbers[3],
            code_realtime=numbers[4],
        )

    def check_free(self, only: tuple[str, ...] | None = None) -> None:
        """Raise ConfigurationError for the first port that something else listens on.

        Args:
            only: Names of fields to look at; all unless given.
        """
        for name, port in asdict(self).items():
            if (only is None or name in only) and not is_free(port):
                raise ConfigurationError(
                    f"port {port} (for {name.replace('_', '-')}) is in use: stop what uses it, "
                    "or choose other ports with --port-base"
                )


def is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
