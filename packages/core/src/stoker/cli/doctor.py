# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker doctor``: look for what stands in a server's way, on its machine and through its API."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from stoker import __version__
from stoker.cli import output
from stoker.cli.lazy import Command
from stoker.cli.session import connect, current
from stoker.errors import StokerError

if TYPE_CHECKING:
    from stoker.config import ServerConfig
    from stoker.services.diagnosis.check import Check


@click.command(cls=Command)
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="The server's TOML file [STOKER_CONFIG].")
@click.option("--remote", is_flag=True, help="Only ask the server: its data folder is on another machine.")
@output.json_option
def doctor(file: Path | None, remote: bool, as_json: bool) -> int:
    """Look for what stands in a server's way; nothing is changed.

    On the server's machine it looks at Python, limits, programs, the data folder, keys, the certificate, the database, plugins
    and nodes, whether the server runs or not; then it asks the server. Run it as the server's user. Exit status 1 if
    something fails.

    Examples:
      stoker doctor
      stoker --data /var/lib/stoker-server doctor --json
      stoker --server https://stoker.example.net:8550 doctor --remote
    """
    found = list(_checks(file, remote=remote))
    failed = any(check.state == "fail" for check in found)
    if as_json:
        output.write_json({"ok": not failed, "checks": [msgspec.to_builtins(check) for check in found]})
        return int(failed)
    rows = [(output.state_text(check.state), check.name, check.detail) for check in found]
    output.table(("", "CHECK", "FOUND"), rows)
    for check in found:
        if check.remedy:
            output.say(f"{check.name}: {check.remedy}")
    counts = {state: sum(check.state == state for check in found) for state in ("fail", "warn")}
    output.say(f"{len(found)} checks: {counts['fail']} failed, {output.plural(counts['warn'], 'warning')}.", "bold")
    return int(failed)


def _checks(file: Path | None, *, remote: bool) -> Iterator[Check]:
    config = None
    if not remote:
        # SQLAlchemy and cryptography are for this command alone
        from stoker.config import load_config  # noqa: PLC0415
        from stoker.services.diagnosis import local  # noqa: PLC0415

        config = load_config(file, flags={"data_dir": current().data or None})
        yield from local.checks(config)
    yield from _asked(config)


def _asked(config: ServerConfig | None) -> Iterator[Check]:
    """What the server says of itself."""
    from stoker.services.diagnosis.check import fail, ok, warn  # noqa: PLC0415

    try:
        client = connect()
        version = str(client.version().get("version"))
    except StokerError as error:
        yield _silent(config, error)
        return
    if version == __version__:
        yield ok("server", f"answers at {client.settings.server}, version {version}")
    else:
        yield warn("server", f"it runs version {version}, this is {__version__}", "Restart the server after an upgrade.")
    try:
        client.ready()
    except StokerError as error:
        yield fail("ready", error.detail, error.remedy)
    else:
        yield ok("ready", "the server can do its work")
    if client.health().get("safe_mode"):
        remedy = "Start it without --safe-mode (safe_mode in its configuration) when 'stoker plugins doctor' finds nothing more."
        yield warn("safe mode", "no plugin's code runs: their hooks, events and jobs wait", remedy)
    yield from _sandbox(str(client.health().get("sandbox", "")))
    if broken := [problem for problem in client.diagnose_plugins() if problem["severity"] == "error"]:
        names = sorted({f"{problem['plugin']} {problem['version']}" for problem in broken})
        yield fail("plugins at work", output.names(names), "'stoker plugins doctor' says what is wrong and how to mend it.")
    if config is None:
        nodes = [node["name"] for node in client.nodes() if node.get("status") in ("unreachable", "error")]
        if nodes:
            yield warn("nodes", f"{len(nodes)} do not answer: {output.names(nodes)}", "'stoker nodes refresh NODE' says why.")


def _sandbox(kind: str) -> Iterator[Check]:
    """What plugins' code runs in."""
    from stoker.services.diagnosis.check import ok, warn  # noqa: PLC0415

    remedy = "Install bubblewrap and allow user namespaces for the server's user; then restart the server."
    if kind == "unconfined":
        yield warn("sandbox", "plugins' code runs without one: it can read all that the server can", remedy)
    elif kind == "none":
        yield warn("sandbox", "none works on this machine: plugins' code does not run", remedy)
    elif kind:
        yield ok("sandbox", f"plugins' code runs in one ({kind})")


def _silent(config: ServerConfig | None, error: StokerError) -> Check:
    """Nobody who may tell answers: perhaps no server runs, perhaps another program has the port."""
    from stoker.services.diagnosis.check import fail, warn  # noqa: PLC0415

    if error.kind != "server-unreachable" or config is None:
        return fail("server", error.detail, error.remedy)
    with socket.socket() as probe:
        probe.settimeout(2)
        taken = probe.connect_ex(("127.0.0.1", config.port)) == 0
    if taken:
        remedy = f"'ss -ltnp sport = :{config.port}' shows it; choose another port with --listen."
        return fail("server", f"another program answers on port {config.port}: {error.detail}", remedy)
    return warn("server", f"no server runs; port {config.port} is free", "Start it: 'stoker serve', or its unit.")
