# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An attempt that is not claimed did not start: it is told apart from one of which nobody knows."""

from __future__ import annotations

import pytest
from stoker.domain.action import CommandAction
from stoker.errors import NotStartedError

HELLO = "echo hello"


@pytest.mark.parametrize("environment", [{"A-B": "x"}, {"A": "x\0y"}], ids=["no name", "null"])
async def test_what_cannot_be_sent(ssh, given, environment):
    link = await ssh.connect()
    with pytest.raises(NotStartedError, match="node here: the task cannot be run"):
        await link.execute("1.0.0.1", CommandAction(run=HELLO, environment=environment), given(), 20)
    assert (await link.look("1.0.0.1")).state == "missing"
    assert (await link.execute("1.0.0.2", CommandAction(run=HELLO), given(), 20)).output == "hello\n"
    await link.close()


async def test_a_spool_that_takes_nothing(ssh, given):
    link = await ssh.connect()
    spool = ssh.root / "spool"
    spool.rename(ssh.root / "away")
    spool.write_text("")  # nothing can be made below a file, not even by root
    with pytest.raises(NotStartedError, match="Not a directory") as refused:
        await link.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)
    assert "/var/lib/stoker" in refused.value.remedy
    spool.unlink()
    (ssh.root / "away").rename(spool)
    assert (await link.look("1.0.0.1")).state == "missing"
    assert (await link.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)).output == "hello\n"
    await link.close()


async def test_a_full_disk(simulated, given):
    link = await simulated.connect()
    await simulated.behave(full_disk=True)
    with pytest.raises(NotStartedError, match="No space left on device"):
        await link.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)
    await simulated.behave()
    assert (await link.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)).output == "hello\n"
    await link.close()
