"""Owns what a service counts and times, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The figures of one service; two in one process do not mix.

    Attributes:
        requests: Answers by route, method and status; 499 where the client went away.
        running: Requests that are being answered.
        latency: Seconds from the request's head to the answer's end, by route.
        waited: Seconds that an image waited for the network.
        network: Seconds that the network took for the batch an image was in.
        batch: Images that ran together, by model.
        tiles: Parts of live maps asked for, by kind and by whether they were in the cache.
        jobs: Jobs that ended, by state.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "sat2map_requests", "Answers", ["route", "method", "status"], registry=registry
        )
        self.running = Gauge("sat2map_requests_running", "Requests being answered", registry=registry)
        self.latency = Histogram(
            "sat2map_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self.waited = Histogram(
            "sat2map_queue_seconds", "Wait for the network", buckets=_SECONDS, registry=registry
        )
        self.network = Histogram(
            "sat2map_network_seconds", "Time in the network", buckets=_SECONDS, registry=registry
        )
        self.batch = Histogram(
            "sat2map_batch_images",
            "Images run together",
            ["model"],
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.tiles = Counter(
            "sat2map_map_pieces", "Parts of live maps asked for", ["kind", "cache"], registry=registry
        )
        self.jobs = Counter("sat2map_jobs_ended", "Jobs that ended", ["state"], registry=registry)

    def watch(self, name: str, words: str, read: Callable[[], float]) -> None:
        """Report what `read` returns whenever the figures are asked for."""
        Gauge(f"sat2map_{name}", words, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self._registry)
