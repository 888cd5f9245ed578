"""Metrics as Prometheus reads them: over HTTP, or from a file by way of node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.metrics.catalogue import ALL, Kind, Metric
from continuous_gtfs.metrics.samples import Distribution, Sample

Read = Callable[[], Iterable[Sample]]
HEALTH_PATH = "/healthz"
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: dict[Kind, type[_Family]] = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


class SampleCollector(Collector):
    """Hands what ``read`` gives to the library; every metric of the catalogue is described, with values or without."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def describe(self) -> Iterable[Family]:
        return [_family(metric) for metric in ALL]

    def collect(self) -> Iterable[Family]:
        families = {metric.name: _family(metric) for metric in ALL}
        for one in self._read():
            family = families[one.metric.name]
            if isinstance(one.value, Distribution):
                bounds = [*map(str, one.metric.buckets), "+Inf"]
                buckets = list(zip(bounds, map(float, accumulate(one.value.counts)), strict=True))
                assert isinstance(family, HistogramMetricFamily)
                family.add_metric(one.labels, buckets, one.value.total)
            else:
                assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
                family.add_metric(one.labels, one.value)
        return families.values()


def write_textfile(path: Path, read: Read) -> None:
    """Put a file in the place of the one before, whole.

    Raises:
        ConfigurationError: It cannot be written.
    """
    registry = CollectorRegistry()
    registry.register(SampleCollector(read))
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise ConfigurationError(f"--textfile {path} cannot be written: {error.strerror}") from error


def endpoint(read: Read, *, host: str, port: int) -> WSGIServer:
    """A server, listening but not yet serving: ``/metrics``, and ``/healthz``, which reads nothing.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(SampleCollector(read))
    ProcessCollector(registry=registry)
    metrics = make_wsgi_app(registry)

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        start_response("200 OK" if path == HEALTH_PATH else "404 Not Found", [("Content-Type", "text/plain")])
        return [b"alive\n" if path == HEALTH_PATH else b"the metrics are at /metrics\n"]

    try:
        return make_server(host, port, app, ThreadingWSGIServer, handler_class=_Quiet)
    except OSError as error:
        raise ConfigurationError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from error


class _Quiet(WSGIRequestHandler):
    timeout = 30.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """No line for each scrape."""


def _family(metric: Metric) -> _Family:
    return _FAMILIES[metric.kind](metric.full_name, metric.says, labels=metric.labels)
