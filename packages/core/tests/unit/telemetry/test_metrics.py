# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics: counted in memory, or through files by all processes of a server."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families
from stoker.errors import NotFoundError
from stoker.telemetry.metrics import Metrics

COUNTING = """
import os, sys
from pathlib import Path
from stoker.telemetry.metrics import METRICS
METRICS.share_through(Path(sys.argv[1]))
METRICS.requests.labels("GET", "/api/nodes", "200").inc(int(sys.argv[2]))
METRICS.journal_batch.observe(3)
METRICS.ssh_connections.inc(int(sys.argv[2]))
print(os.getpid())
if sys.argv[3:]:
    METRICS.forget_process(int(sys.argv[3]))
    sys.stdout.write(METRICS.exposition().decode())
"""


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counting(folder, count, *forget):
    return subprocess.run(
        [sys.executable, "-c", COUNTING, str(folder), str(count), *forget], capture_output=True, text=True, check=True
    ).stdout


def test_one_process_counts_in_memory_and_tells_of_itself() -> None:
    metrics = Metrics()
    metrics.requests.labels("GET", "/api/nodes", "200").inc()
    found = samples(metrics.exposition().decode())
    assert found["stoker_http_requests_total", "/api/nodes", "200", "GET"] == 1
    assert found["process_resident_memory_bytes",] > 0
    assert any(name == "stoker_build_info" for name, *_ in found)


def test_several_processes_make_one_whole_and_those_that_ended_still_count(tmp_path) -> None:
    first = counting(tmp_path, 2).strip()
    found = samples(counting(tmp_path, 40, first).partition("\n")[2])
    assert found["stoker_http_requests_total", "/api/nodes", "200", "GET"] == 42
    assert found["stoker_journal_batch_entries_count",] == 2
    # what a process that ended held open is open no more
    assert found["stoker_ssh_connections",] == 40


def test_files_are_for_the_server_alone(tmp_path) -> None:
    counting(tmp_path / "metrics", 1)
    assert oct((tmp_path / "metrics").stat().st_mode & 0o777) == "0o700"


def test_a_plan_that_cannot_be_made_is_counted_by_its_problem() -> None:
    metrics = Metrics()
    with metrics.planning():
        pass
    with pytest.raises(NotFoundError), metrics.planning():
        raise NotFoundError("no")
    found = samples(metrics.exposition().decode())
    assert found["stoker_plans_total",] == 1
    assert found["stoker_plan_duration_seconds_count",] == 1
    assert found["stoker_plan_failures_total", "not-found"] == 1
