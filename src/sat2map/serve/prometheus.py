"""Counters and timers of a service, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The metrics of one service; two services in one process do not mix.

    Attributes:
        requests: Answers by route, method and status; 499: the client disconnected.
        running: Requests that are being answered.
        latency: Time from the request's head to the answer's end (s), by route.
        waited: Time that an image waited for the network (s).
        network: Time that the network took for an image's batch (s).
        batch: Images that ran together, by model.
        tiles: Requested parts of live maps, by kind and by whether they were cached.
        jobs: Jobs that ended, by state.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        counter = partial(Counter, namespace="sat2map", registry=registry)
        timer = partial(Histogram, namespace="sat2map", buckets=_SECONDS, registry=registry)
        self.requests = counter("requests", "Answers", ["route", "method", "status"])
        self.running = Gauge("sat2map_requests_running", "Requests being answered", registry=registry)
        self.latency = timer("request_seconds", "Time to answer", ["route"])
        self.waited = timer("queue_seconds", "Wait for the network")
        self.network = timer("network_seconds", "Time in the network")
        self.batch = timer("batch_images", "Images run together", ["model"], buckets=(1, 2, 4, 8, 16, 32))
        self.tiles = counter("map_pieces", "Requested parts of live maps", ["kind", "cache"])
        self.jobs = counter("jobs_ended", "Jobs that ended", ["state"])

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Report the value of `read` in each scrape."""
        Gauge(f"sat2map_{name}", description, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
