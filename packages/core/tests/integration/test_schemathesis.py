# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The whole API, asked with what fits its description and what does not: no fault of the server, no answer that is not described.

'./dev fuzz' asks more.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from fuzzing import Fuzzer
from stoker_sdk.extension_points import tasks

EXAMPLES = int(os.environ.get("STOKER_FUZZ_EXAMPLES", "6"))
"""Requests for each operation and kind of data."""
SEED = int(os.environ.get("STOKER_FUZZ_SEED", "20"))
LOG = os.environ.get("STOKER_FUZZ_LOG", "")
"""Where to write what was asked and answered."""


def filled(simulation):
    """A server with something of everything; the names of what is there, by path parameter."""
    task = tasks.Shell(id="greet", roles=["fuzzed"], run="true", idempotent=True)
    environment = simulation.environment("fuzzed", task, nodes=2)
    deployment = simulation.deploy(environment)
    simulation.client.add_credential("fuzzed-key")
    return {
        "env": [environment],
        "environment": [environment],
        "node": ["fuzzed1", "fuzzed2"],
        "plan": [deployment["plan"]],
        "plan_id": [deployment["plan"]],
        "deployment": [deployment["id"]],
        "deployment_id": [deployment["id"]],
        "plugin": ["fuzzed"],
        "name": ["fuzzed", "fuzzed-key"],
        "version": ["1.0.0"],
    }


def told(fuzzer, faults):
    lines = [f"seed {SEED}, {EXAMPLES} requests for each operation and kind of data, {fuzzer.answers.total():,} in all", ""]
    for operation in fuzzer.operations():
        counts = {status: count for (label, status), count in sorted(fuzzer.answers.items()) if label == operation.label}
        lines.append(f"{operation.label}: {', '.join(f'{status} x {count}' for status, count in counts.items())}")
    return "\n".join([*lines, "", f"{len(faults)} operations with faults", *faults]) + "\n"


def test_no_request_is_a_fault_of_the_server_and_every_answer_is_described(own_simulation) -> None:
    simulation = own_simulation
    known = filled(simulation)
    token = (simulation.data / "admin-token").read_text().strip()
    fuzzer = Fuzzer(simulation.url, token, known, examples=EXAMPLES, seed=SEED)
    faults = list(fuzzer.faults())
    if LOG:
        Path(LOG).write_text(told(fuzzer, faults))
    assert not faults, "\n\n".join(faults)
    reached = Counter(label for label, status in fuzzer.answers if status < 300)
    everything = {operation.label for operation in fuzzer.operations()}
    assert {label for label, _ in fuzzer.answers} == everything
    assert len(reached) > len(everything) / 2, "too few operations come past the first look"
