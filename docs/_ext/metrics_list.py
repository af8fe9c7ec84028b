# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The reference of metrics, written from a server's own answer."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from stoker.app import build_context, open_vault
from stoker.config import ServerConfig
from stoker.services import figures
from stoker.telemetry.metrics import METRICS

_LABELS = {
    metric._name: metric._labelnames  # noqa: SLF001  the library has no other way
    for metric in vars(METRICS).values()
    if hasattr(metric, "_labelnames")
}


def page(_: str) -> str:
    """A row for each metric of Stoker's own."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="stoker-docs-") as folder:
        config = ServerConfig(data_dir=Path(folder) / "data")
        context = build_context(config, open_vault(config))
        answer = figures.exposition(context).decode()
        context.database.close()
    rows = [
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} "
        f"| {', '.join(f'`{name}`' for name in _labels(family))} | {family.documentation} |"
        for family in sorted(text_string_to_metric_families(answer), key=lambda family: family.name)
        if family.name.startswith("stoker_") and not family.name.endswith("_created")
    ]
    return "\n".join(["| Metric | Type | Labels | What it is |", "|---|---|---|---|", *rows])


def _labels(family: object) -> list[str]:
    found = {name for sample in family.samples for name in sample.labels if name != "le"}
    return sorted(found | set(_LABELS.get(family.name, ())))
