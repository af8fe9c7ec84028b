# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics: everything that is counted and timed, in one registry; shared through files where a server has several processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from stoker import __version__

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_COMMIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_BATCH: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
_PLAN_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The server's metrics; ``METRICS`` is the one that all use."""

    def __init__(self) -> None:
        """Everything is zero."""
        self._folder: Path | None = None
        self._make()

    def _make(self) -> None:
        one = self.registry = CollectorRegistry()
        self.requests = Counter(
            "stoker_http_requests", "Requests that were answered.", ("method", "route", "status"), registry=one
        )
        self.request_seconds = Histogram(
            "stoker_http_request_duration_seconds",
            "From a request's headers to the end of its answer; streams are left out.",
            ("method", "route"),
            buckets=_REQUEST_SECONDS,
            registry=one,
        )
        self.attempts = Counter("stoker_attempts", "Attempts of tasks that were dispatched to nodes.", registry=one)
        self.results = Counter(
            "stoker_task_results", "Attempts that ended, by the task's kind and how.", ("kind", "outcome"), registry=one
        )
        self.journal_batch = Histogram(
            "stoker_journal_batch_entries", "Entries of one commit of the journal.", buckets=_BATCH, registry=one
        )
        self.journal_seconds = Histogram(
            "stoker_journal_commit_seconds", "How long a commit of the journal took.", buckets=_COMMIT_SECONDS, registry=one
        )
        self.plans = Counter("stoker_plans", "Plans that were made.", registry=one)
        self.plan_failures = Counter(
            "stoker_plan_failures", "Plans that could not be made, by problem.", ("problem",), registry=one
        )
        self.plan_seconds = Histogram(
            "stoker_plan_duration_seconds",
            "From the first look at the nodes to the stored plan.",
            buckets=_PLAN_SECONDS,
            registry=one,
        )
        self.ssh_connections = Gauge(
            "stoker_ssh_connections", "SSH connections to nodes that are open.", registry=one, multiprocess_mode="livesum"
        )
        self.database_connections = Gauge(
            "stoker_database_connections_in_use",
            "Connections of the database's pools that are in use.",
            registry=one,
            multiprocess_mode="livesum",
        )
        self.long_work = Gauge(
            "stoker_long_work",
            "Plans, checks and looks at nodes that wait for a thread or run.",
            ("state",),
            registry=one,
            multiprocess_mode="livesum",
        )
        self._make_of_plugins()

    def _make_of_plugins(self) -> None:
        one = self.registry
        self.hook_failures = Counter(
            "stoker_hook_failures",
            "Calls of plugins' hooks that failed by the plugin's fault.",
            ("plugin", "point"),
            registry=one,
        )
        self.hooks_skipped = Counter(
            "stoker_hooks_skipped", "Calls of plugins' hooks that quarantine did not let through.", ("plugin",), registry=one
        )
        self.hooks_quarantined = Gauge(
            "stoker_hooks_quarantined", "Hooks in quarantine.", registry=one, multiprocess_mode="livemax"
        )
        self.events_told = Counter(
            "stoker_plugin_events", "Events for plugins, by how they ended.", ("plugin", "outcome"), registry=one
        )

    def share_through(self, folder: Path) -> None:
        """Keep figures in files of this folder from now on: every process of the server counts into it, each answers for all.

        Must be called before anything is counted; the supervisor empties the folder first.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # the library's own choice is made at import
        self._folder = folder
        self._make()

    def forget_process(self, pid: int) -> None:
        """A process of the server has ended: what it held open counts no more, what it counted stays."""
        if self._folder is not None:
            mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]

    def exposition(self, *more: Collector) -> bytes:
        """All figures in Prometheus' text format."""
        shown = CollectorRegistry()
        shown.register(_BuildInfo())
        for collector in more:
            shown.register(collector)
        if self._folder is None:
            ProcessCollector(registry=shown)
            return generate_latest(self.registry) + generate_latest(shown)
        MultiProcessCollector(shown, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(shown)

    @contextmanager
    def planning(self) -> Iterator[None]:
        """A plan is made in the block."""
        begun = perf_counter()
        try:
            yield
        except Exception as error:
            self.plan_failures.labels(getattr(error, "kind", "internal")).inc()
            raise
        self.plans.inc()
        self.plan_seconds.observe(perf_counter() - begun)


class _BuildInfo(Collector):
    """Which version this is."""

    def collect(self) -> Iterable[Metric]:
        """One sample that is always 1."""
        metric = Metric("stoker_build_info", "The server's version.", "gauge")
        metric.add_sample("stoker_build_info", {"version": __version__, "python": platform.python_version()}, 1.0)
        return [metric]


METRICS: Final = Metrics()
"""This process's metrics."""
