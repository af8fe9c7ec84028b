# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Programs of plugins' own kinds of tasks: the same everywhere; on a real node the parameters leave no trace."""

from __future__ import annotations

import json

from stoker.domain.action import KindAction
from stoker.domain.secret import SecretSlot

SHAPE = "blob:suite:files/shape"


def action(**fields):
    return KindAction(kind="suite.shape", program=SHAPE, **{"parameters": '{"size": 3}', **fields})


async def test_a_program_says_what_it_did(place, shape):
    link = await place.connect()
    outcome = await link.execute("1.0.0.1", action(), shape(), 20)
    assert (outcome.exit_status, outcome.simulated) == (0, False)
    assert [json.loads(line) for line in outcome.output.splitlines()] == [
        {"progress": 0.5, "message": "half"},
        {"changed": False},
    ]
    bad = await link.execute("1.0.0.2", action(parameters='{"size": "broken"}'), shape(), 20)
    assert (bad.exit_status, json.loads(bad.output)) == (4, {"error": "it is broken"})
    await link.close()


async def test_a_dry_run_is_asked_for_by_its_option(place, shape):
    link = await place.connect()
    outcome = await link.execute("1.0.0.1", action(dry_run=True), shape(), 20)
    assert json.loads(outcome.output) == {"changed": True, "diff": "+round"}
    await link.close()


async def test_a_guard_spares_the_program(place, shape):
    link = await place.connect()
    path = f"{place.folder}/there"
    await place.write(path, "x")
    outcome = await link.execute("1.0.0.1", action(creates=path), shape(), 20)
    assert (outcome.exit_status, outcome.changed, outcome.output) == (0, False, "")
    await link.close()


async def test_parameters_come_on_standard_input_and_leave_no_trace(ssh, shape):
    program = b"""#!/bin/sh
cat
echo "argv: $0 $*"
tr '\\0' ' ' </proc/$$/cmdline
env
ls "${0%/*}"
"""
    link = await ssh.connect()
    slot = SecretSlot("suite", "key", 1, "quoted")
    outcome = await link.execute("1.0.0.1", action(parameters=['{"key": "', slot, '", "size": 3}']), shape(program), 20)
    first, *rest = outcome.output.splitlines()
    assert json.loads(first)["size"] == 3
    secret = json.loads(first)["key"]
    assert len(secret) > 8
    assert not [line for line in rest if secret in line], "the secret is in argv, the environment or the output of ls"
    assert "c.input" not in rest, "the parameters lie beside the program while it runs"
    await link.forget(["1.0.0.1"])
    await link.execute("1.0.0.2", action(parameters=['{"key": "', slot, '"}']), shape(b"#!/bin/sh\\nexit 0\\n"), 20)
    assert secret not in await ssh.spool_text()
    await link.close()
