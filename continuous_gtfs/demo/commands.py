"""Which processes the platform is made of and the command of each: the one definition of both.

The demo runs these commands with the script folder of its own environment in front; the services of
``docker-compose.yml`` run the same ones in containers, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence

POSTGRES = "postgres"
MIGRATE = "migrate"
SIMULATOR = "simulator"
CODE_SCHEDULE = "code-schedule"
CODE_REALTIME = "code-realtime"
WEBSERVER = "webserver"
DAEMON = "daemon"
PUBLISHED = "published"
METRICS = "metrics"

# In the order in which they are started when nothing else decides: what takes longest comes first.
ALL = (POSTGRES, MIGRATE, CODE_SCHEDULE, CODE_REALTIME, SIMULATOR, PUBLISHED, WEBSERVER, DAEMON)
# A task ends by itself when it is done; what needs it waits for that.
TASKS = (MIGRATE,)
SERVICES = (POSTGRES, SIMULATOR, PUBLISHED)

# Each sensor's long poll holds a thread of a code server; the rest answers the user interface. Made when needed.
CODE_SERVER_THREADS = 80


def migrate() -> list[str]:
    """Makes Dagster's tables, or brings them up to date. Without it every process would, at once, and race."""
    return ["dagster", "instance", "migrate"]


def code_server(location: str, *, host: str, port: int) -> list[str]:
    """The server of one code location, ``schedule`` or ``realtime``."""
    return [
        *("dagster", "api", "grpc"),
        *("-m", f"continuous_gtfs.definitions.{location}", "--location-name", location),
        *("-h", host, "-p", str(port), "--max-workers", str(CODE_SERVER_THREADS)),
    ]


def daemon(*, workspace: str) -> list[str]:
    """Sensors, run monitoring, retries, freshness."""
    return ["dagster-daemon", "run", "-w", workspace]


def webserver(*, host: str, port: int, workspace: str) -> list[str]:
    """The user interface and its GraphQL."""
    return ["dagster-webserver", "-h", host, "-p", str(port), "-w", workspace]


def published(folder: str, *, host: str, port: int) -> list[str]:
    """The static server of the published folder."""
    return ["continuous-gtfs", "serve", folder, "--host", host, "--port", str(port)]


def metrics(*, host: str, port: int) -> list[str]:
    """What Prometheus reads; not part of the demo."""
    return ["continuous-gtfs", "metrics", "--host", host, "--port", str(port)]


def simulator(*, host: str, port: int, options: Sequence[str] = ()) -> list[str]:
    """The stand-in vendor. Its tokens come from the environment, so that no process list shows them."""
    return ["continuous-gtfs", "simulate", "--host", host, "--port", str(port), *options]
