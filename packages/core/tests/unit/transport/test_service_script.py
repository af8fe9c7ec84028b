# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The script that brings a unit into a state: an attempt ends when the service works, and fails if the unit does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from stoker.domain.action import ServiceAction
from stoker.domain.secret import SecretSlot
from stoker.transport.ssh.scripts import build

SYSTEMCTL = """\
#!/bin/sh
echo "$*" >>"$HERE/calls"
case "$1" in
  show) echo LoadState=loaded; echo ActiveState=active ;;
  is-failed) [ -e "$HERE/failed" ] ;;
esac
"""


class Given:
    """Materials of a test: one secret."""

    def content(self, content_id: str) -> bytes:
        raise AssertionError(content_id)

    def text(self, text: object) -> str:
        return text if isinstance(text, str) else "s3cret"


def run(folder: Path, action: ServiceAction) -> subprocess.CompletedProcess[str]:
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    files = build(action, Given(), "/nowhere")
    (folder / "run").write_text(files.run)
    command = ["sh", "-e", str(folder / "run")]
    if files.before:
        (folder / "before").write_text(files.before)
        (folder / "env").write_text(files.environment)
        command = ["sh", str(folder / "before")]
    variables = {"PATH": f"{folder}:/usr/bin:/bin", "HERE": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=variables, check=False)


def calls(folder: Path) -> list[str]:
    return [line.split(" ")[0] for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize(("restart", "verb"), [("", "start"), ("restart", "restart"), ("reload", "reload-or-restart")])
def test_the_attempt_ends_when_the_service_works(tmp_path: Path, restart: str, verb: str) -> None:
    ready = '[ "$WORD" = s3cret ] && echo x >>"$HERE/tries" && [ "$(wc -l <"$HERE/tries")" -ge 3 ]'
    word = {"WORD": [SecretSlot("p", "word", 1)]}
    done = run(tmp_path, ServiceAction(name="unit", restart=restart, ready=ready, environment=word))  # type: ignore[arg-type]
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    assert verb in calls(tmp_path)
    assert not (tmp_path / "env").exists()


def test_a_unit_that_fails_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    done = run(tmp_path, ServiceAction(name="unit", ready='touch "$HERE/failed"; echo not yet; false'))
    assert done.returncode != 0
    assert "not yet" in done.stdout
    assert "status" in calls(tmp_path)


def test_a_unit_that_stops_is_not_asked_whether_it_works(tmp_path: Path) -> None:
    assert run(tmp_path, ServiceAction(name="unit", state="stopped", ready='touch "$HERE/asked"')).returncode == 0
    assert not (tmp_path / "asked").exists()
