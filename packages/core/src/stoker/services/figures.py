# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Figures that the database knows, for whoever collects metrics: deployments by state, nodes by status."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stoker.db.figures import counts
from stoker.services.context import ServerContext
from stoker.telemetry.metrics import METRICS


class _Stored(Collector):
    """Counted in the database each time it is asked: right in every process, and after every start."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def collect(self) -> Iterable[Metric]:
        """Every metric that is a count of rows."""
        with self._context.database.read() as connection:
            found = counts(connection)
        for name, text, label, values in (
            ("stoker_deployments", "Deployments by state.", "state", found.deployments),
            ("stoker_nodes", "Nodes by status.", "status", found.nodes),
        ):
            family = GaugeMetricFamily(name, text, labels=[label])
            for value, count in sorted(values.items()):
                family.add_metric([value], count)
            yield family
        for name, text, count in (
            ("stoker_deployments_running", "Deployments that are carried out now.", found.running),
            ("stoker_environments", "Environments.", found.environments),
            ("stoker_plugins", "Installed plugins, every version.", found.plugins),
        ):
            yield GaugeMetricFamily(name, text, value=count)


def exposition(context: ServerContext) -> bytes:
    """All metrics in Prometheus' text format."""
    return METRICS.exposition(_Stored(context))
