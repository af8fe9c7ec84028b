# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Packages and files on 100 SSH servers: ours against pyinfra, and a deployment without a change against reading facts."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from stoker.errors import StokerError

from benchmarks import ssh_fleet
from benchmarks.bench_ssh import SERVERS, servers
from benchmarks.result import Result

NAMES = ("ssh-vs-pyinfra", "nochange-100")


def run() -> Iterator[Result]:
    """Each client has servers of its own, so that both begin with nothing."""
    with servers(SERVERS, ssh_fleet.ON_NODE) as folder:
        ours = _client("stoker", folder)
    again, facts = _middle(ours, "again"), _middle(ours, "facts")
    ratios = [one["wall"] / other["wall"] for one, other in zip(ours["again"], ours["facts"], strict=True)]
    yield Result(
        name="nochange-100",
        value=round(statistics.median(ratios), 2),
        unit="times",
        bound=1.5,
        aim=1.2,
        note=f"{SERVERS} servers: plan and deployment {again['wall']:.2f} s ({again['cpu']:.2f} s CPU), "
        f"facts {facts['wall']:.2f} s ({facts['cpu']:.2f} s CPU)",
    )
    with servers(SERVERS, ssh_fleet.ON_NODE) as folder:
        theirs = _client("pyinfra", folder)
    first = theirs["first"][0]["cpu"] / ours["first"][0]["cpu"]
    later = _middle(theirs, "again")["cpu"] / again["cpu"]
    yield Result(
        name="ssh-vs-pyinfra",
        value=round(min(first, later), 2),
        unit="times",
        bound=1.5,
        aim=3,
        higher_is_better=True,
        note=f"{SERVERS} servers, {ssh_fleet.FILES} files and {len(ssh_fleet.PACKAGES)} packages each, the lesser of two: first run "
        f"{first:.1f} ({theirs['first'][0]['cpu']:.1f} s CPU pyinfra, {ours['first'][0]['cpu']:.1f} s ours), without a change {later:.1f} "
        f"({_middle(theirs, 'again')['cpu']:.1f} s and {again['cpu']:.1f} s)",
    )


def _middle(found: ssh_fleet.Found, kind: str) -> dict[str, float]:
    return {what: statistics.median(one[what] for one in found[kind]) for what in ("cpu", "wall")}


def _client(kind: str, folder: Path) -> ssh_fleet.Found:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ssh_fleet", kind, str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    if done.returncode != 0:
        raise StokerError(f"{kind} ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-2000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=ssh_fleet.Found)
