# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Code that takes all its memory again and again has to wait."""

from __future__ import annotations

from stoker.plugin_host.worker_pauses import LATELY, PAUSES, Pauses


def test_who_takes_too_much_memory_again_waits_longer_and_is_forgiven() -> None:
    now = [100.0]
    pauses = Pauses(lambda: now[0])
    assert pauses.before_start("bad", "1") == 0
    waited = []
    for _ in range(5):
        pauses.note("bad", "1")
        waited.append(pauses.before_start("bad", "1"))
    assert waited == [PAUSES[1], PAUSES[2], PAUSES[3], PAUSES[3], PAUSES[3]]
    assert pauses.before_start("bad", "2") == 0
    now[0] += 1
    assert pauses.before_start("bad", "1") == PAUSES[3] - 1
    now[0] += LATELY
    assert pauses.before_start("bad", "1") == 0
