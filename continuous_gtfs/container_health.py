"""Whether one process of a deployment answers: the health checks of its containers. Asks nothing beyond that process.

    python -m continuous_gtfs.container_health grpc 4000
    python -m continuous_gtfs.container_health http 3000 /server_info
    python -m continuous_gtfs.container_health process dagster-daemon

Exit code 0 or 1, with the reason in one line. A check that asked the vendor or the database too would have every
container restarted for a fault of neither; whether the whole does its work is told by ``continuous-gtfs
status``. It runs every half minute in each container, so it imports only what it needs: Dagster's own gRPC
check takes a second of CPU, this one an eighth of that.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_S = 10.0
USAGE = "usage: container_health (grpc PORT | http PORT PATH | process NAME) [HOST]"
HOST = "127.0.0.1"
# Under which name Dagster's code server tells of itself by the health protocol of gRPC.
GRPC_SERVICE = "DagsterApi"


def grpc_reason(host: str, port: int) -> str | None:
    """Why a code server cannot serve; None where it says that it does."""
    import grpc  # type: ignore[import-untyped]
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse  # type: ignore[import-untyped]
    from grpc_health.v1.health_pb2_grpc import HealthStub  # type: ignore[import-untyped]

    with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(service=GRPC_SERVICE), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return f"no answer: {error.code().name}"
    return None if answer.status == HealthCheckResponse.SERVING else f"status {answer.status}"


def http_reason(host: str, port: int, path: str) -> str | None:
    """Why a web server cannot serve; None where it answers with a status below 500."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{port}{path}", timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return None if error.code < 500 else f"status {error.code}"
    except OSError as error:
        return f"no answer: {error}"


def process_reason(name: str, processes: Path = Path("/proc")) -> str | None:
    """Why the process that runs the script ``name`` is not there; None where it is, and is not stopped.

    Args:
        name: Of the script, ``dagster-daemon``: the first or second word of a command line.
        processes: As Linux shows them.
    """
    states = [_state(folder) for folder in processes.glob("[0-9]*") if name in _script(folder)]
    if not states:
        return f"no process {name}"
    # Stopped, traced, dead, or ended and not yet taken from the list.
    return None if any(state not in "TtXZ" for state in states) else f"{name} does not run: state {states[0]}"


def _script(folder: Path) -> list[str]:
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended since
        return []
    return [Path(word.decode(errors="replace")).name for word in words[:2]]


def _state(folder: Path) -> str:
    try:
        # The name before it is in brackets and may hold anything.
        return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def reason(arguments: Sequence[str]) -> str | None:
    """Why what the arguments name is not healthy; None where it is.

    Raises:
        ValueError: The arguments are none that are known.
    """
    match arguments:
        case ["grpc", port, *host]:
            return grpc_reason(_host(host), int(port))
        case ["http", port, path, *host]:
            return http_reason(_host(host), int(port), path)
        case ["process", name]:
            return process_reason(name)
        case _:
            raise ValueError(USAGE)


def _host(given: Sequence[str]) -> str:
    if len(given) > 1:
        raise ValueError(USAGE)
    return given[0] if given else HOST


def main(arguments: Sequence[str]) -> int:
    try:
        found = reason(arguments)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if found is not None:
        sys.stdout.write(f"unhealthy: {found}\n")
    return 0 if found is None else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
