"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
PHOTOS = (1, 2, 4, 8, 16, 32, 64)
UNKNOWN_PATH = "other"


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "dishvl_requests",
            "Requests by path, method and status",
            ("path", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "dishvl_request_seconds",
            "Seconds from a request's first byte to its answer",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.open = Gauge("dishvl_requests_open", "Requests under way", registry=self.registry)
        self.waiting = Gauge(
            "dishvl_photos_waiting", "Photos in the queue for the model", registry=self.registry
        )
        self.pass_photos = Histogram(
            "dishvl_pass_photos",
            "Photos that shared a pass of the model",
            buckets=PHOTOS,
            registry=self.registry,
        )
        self.pass_seconds = Histogram(
            "dishvl_pass_seconds",
            "Seconds of a pass of the model",
            buckets=SECONDS,
            registry=self.registry,
        )

    def count_request(self, path: str, method: str, status: int, seconds: float) -> None:
        """`path`: of the route with its parameters unfilled, so that there are few."""
        self.requests.labels(path, method, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def count_pass(self, n_photos: int, seconds: float) -> None:
        self.pass_photos.observe(n_photos)
        self.pass_seconds.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
