# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What workers write: little of it is kept, whatever it is made of."""

from __future__ import annotations

import sys

import pytest
from stoker.plugin_host.worker_output import MOST_KEPT, Output


@pytest.mark.parametrize("piece", [b"\n", b"a\n", b"\r\n", b"x" * 5000, "\U0001f600".encode() * 3000, b"\xff" * 3000])
def test_a_flood_takes_little_memory(piece) -> None:
    output = Output()
    for _ in range(MOST_KEPT // len(piece) * 4 // 1000 + 1):
        output.add(piece * 1000)
    kept = output.lines()
    assert sum(sys.getsizeof(line) + sys.getsizeof(line.text) + sys.getsizeof(line.at) for line in kept) < 8 * MOST_KEPT
    assert kept
