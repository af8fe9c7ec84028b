# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A backup brings everything back, from and to each database; a damaged one, or a place that is not empty, changes nothing."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile

import pydantic
import pytest
from simulation import Simulation, until
from sqlalchemy import select
from stoker.cli.main import run
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.row_files import OF_THE_MOMENT
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, settings, tasks

NAME = "kept"


class Text(pydantic.BaseModel):
    text: str = settings.field("old", title="Text")
    token: str = settings.field("", title="Token", secret=True, generator="password")


def rows(url):
    """Everything in a database, but what is of the moment."""
    database = Database(url)
    with database.read() as connection:
        found = {
            name: sorted(map(repr, connection.execute(select(table)).all()))
            for name, table in tables.metadata.tables.items()
            if name not in OF_THE_MOMENT
        }
    database.close()
    return found


def stoker(capsys, *words, status=0):
    """Run the command line here; gives what it says."""
    with contextlib.suppress(SystemExit):
        assert run([str(word) for word in words]) == status
    said = capsys.readouterr()
    return said.out + said.err


@pytest.fixture
def filled(own_simulation):
    """A server that has deployed something, with a secret."""
    own_simulation.environment(
        NAME,
        settings.Settings.from_model(Text),
        config_files.WholeFile(path="/etc/kept", roles=[NAME], content=ref.settings.token),
        tasks.Shell(id="step", roles=[NAME], run="kept-step"),
        files={"note.txt": b"a file of the bundle"},
    )
    own_simulation.deploy(NAME)
    return own_simulation


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_backup_brings_everything_back(filled, target, request, tmp_path, running_server_class, capsys):
    url = request.getfixturevalue("postgres_url") if target == "postgresql" else ""
    place = [] if not url else ["--database", url]
    source = [
        "--data",
        filled.data,
        *(["--database", filled.server.database_url] if not filled.server.database_url.startswith("sqlite") else []),
    ]
    file = tmp_path / "backup.tar.gz"
    (tmp_path / "passphrase").write_text("correct horse\n")
    sealing = ["--passphrase-file", tmp_path / "passphrase"]
    assert "sealed" in stoker(capsys, "backup", file, *source, *sealing)  # the server runs
    assert file.stat().st_mode & 0o777 == 0o600
    before = rows(filled.server.database_url)
    plan = filled.client.create_plan(NAME)
    filled.server.kill()
    assert "sealed with a passphrase" in stoker(capsys, "restore", file, "--data", tmp_path / "new", *place, status=2)
    view = json.loads(stoker(capsys, "restore", file, "--data", tmp_path / "new", *place, *sealing, "--json"))
    assert (view["database"], view["ended"]) == (target, [])
    new = running_server_class(tmp_path / "new", database=url)
    after = rows(new.database_url)
    assert len(after["audit_log"]) == len(before["audit_log"]) + 1
    assert {**after, "audit_log": ""} == {**before, "audit_log": ""}
    again = Simulation(new, tmp_path)
    again.socket = filled.socket
    try:
        new.fields["fleet_socket"] = filled.socket
        new.start()
        with new.client() as client:  # with the same admin token, and the same secrets
            made = client.post(f"/api/environments/{NAME}/plans").json()
            assert (made["digest"], made["counts"]) == (plan["digest"], plan["counts"])
            assert client.post("/api/environments", json={"name": "another"}).status_code == 201
            assert client.get("/api/plugins").json()["items"][0]["name"] == NAME
    finally:
        new.kill()


def test_what_runs_when_a_backup_is_made_ends_as_failed(own_simulation, tmp_path, capsys):
    own_simulation.environment(NAME, tasks.Shell(id="step", roles=[NAME], run="kept-step"))
    own_simulation.behave({"match": NAME, "delay": 2.0})
    running = own_simulation.client.deploy(NAME)
    until(own_simulation.starts, "its start")
    stoker(capsys, "backup", tmp_path / "b", "--data", own_simulation.data)
    assert running["id"] in stoker(capsys, "restore", tmp_path / "b", "--data", tmp_path / "new")
    kept = rows(f"sqlite:///{tmp_path / 'new' / 'stoker.db'}")
    assert "'failed', 'It ran when the backup" in str(kept["deployments"])
    assert kept["environment_locks"] == []


@pytest.fixture
def made(server_context, tmp_path, capsys):
    """A backup of a server without anything."""
    stoker(capsys, "backup", tmp_path / "backup", "--data", server_context.config.data_dir)
    return tmp_path / "backup"


def test_only_an_empty_place_is_filled_unless_forced(made, tmp_path, capsys, server_context):
    assert "is there already" in stoker(capsys, "backup", made, "--data", server_context.config.data_dir, status=2)
    folder = tmp_path / "used"
    folder.mkdir()
    (folder / "master.key").write_bytes(b"another")
    assert "is not empty" in stoker(capsys, "restore", made, "--data", folder, status=2)
    assert (folder / "master.key").read_bytes() == b"another"
    said = stoker(capsys, "restore", made, "--data", folder, "--force")
    (aside,) = folder.glob(".before-restore-*")
    assert str(aside) in said
    assert (aside / "master.key").read_bytes() == b"another"
    assert (folder / "master.key").read_bytes() == (server_context.config.data_dir / "master.key").read_bytes()


def test_a_database_that_is_not_empty_is_not_touched(made, tmp_path, capsys, postgres_url):
    words = ("restore", made, "--data", tmp_path / "new", "--database", postgres_url)
    stoker(capsys, *words)
    before = rows(postgres_url)
    again = ("restore", made, "--data", tmp_path / "other", "--database", postgres_url)
    assert "the database is not empty" in stoker(capsys, *again, status=2)
    assert rows(postgres_url) == before
    assert not (tmp_path / "other" / "master.key").exists()
    stoker(capsys, *again, "--force")
    assert (tmp_path / "other" / "master.key").exists()


def changed(archive, name, data):
    """A backup in which one member is another."""
    out = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=out, mode="w:gz") as new:
        for member in old:
            content = old.extractfile(member).read() if member.isreg() else b""
            if member.name == name:
                content = data(content)
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return out.getvalue()


BAD = {
    "a changed key": (
        lambda file: changed(file, "data/master.key", lambda data: data[::-1]),
        "data/master.key is not what it was",
    ),
    "a changed row": (lambda file: changed(file, "rows/audit_log.jsonl", lambda data: data + b"[]\n"), "rows/audit_log.jsonl"),
    "half a file": (lambda file: file.read_bytes()[:2000], "damaged"),
    "another file": (lambda file: b"PK\x03\x04" * 100, "is no backup"),
    "another version": (
        lambda file: changed(file, "about.json", lambda data: data.replace(b'"format":1', b'"format":9')),
        "about.json is not what it was",
    ),
}


@pytest.mark.parametrize(("damage", "told"), BAD.values(), ids=BAD)
def test_a_damaged_backup_changes_nothing(made, tmp_path, capsys, damage, told):
    (tmp_path / "bad").write_bytes(damage(made))
    assert told in stoker(capsys, "restore", tmp_path / "bad", "--data", tmp_path / "new", status=2)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["server.lock"]


def test_a_sealed_backup_is_opened_by_its_passphrase_alone(server_context, tmp_path, capsys):
    (tmp_path / "right").write_text("right")
    (tmp_path / "wrong").write_text("wrong")
    file = tmp_path / "sealed"
    stoker(capsys, "backup", file, "--data", server_context.config.data_dir, "--passphrase-file", tmp_path / "right")
    words = ("restore", file, "--data", tmp_path / "new", "--passphrase-file")
    assert "another one" in stoker(capsys, *words, tmp_path / "wrong", status=2)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "was changed" in stoker(capsys, *words, tmp_path / "right", status=2)
    file.write_bytes(whole)
    stoker(capsys, *words, tmp_path / "right")
    assert (tmp_path / "new" / "master.key").exists()


def test_a_running_server_is_not_restored_over(made, running_server, capsys):
    assert "another server runs" in stoker(capsys, "restore", made, "--data", running_server.data_dir, "--force", status=2)


def test_a_hostile_backup_touches_nothing_outside(made, tmp_path, capsys):
    victim = tmp_path / "victim"
    victim.write_text("private")
    victim.chmod(0o600)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    file = tarfile.TarInfo(str(victim))
    file.mode = 0o755
    inside = tarfile.TarInfo(str(folder))
    inside.type = tarfile.DIRTYPE
    up = tarfile.TarInfo("data/../../up")
    link, pipe = tarfile.TarInfo("data/link"), tarfile.TarInfo("data/pipe")
    link.type, link.linkname, pipe.type = tarfile.LNKTYPE, "about.json", tarfile.FIFOTYPE
    for member in (file, inside, up, link, pipe):
        with tarfile.open(made) as old, tarfile.open(tmp_path / "bad", "w:gz") as new:
            for good in old:
                new.addfile(good, old.extractfile(good) if good.isreg() else None)
            new.addfile(member)
        assert "is damaged" in stoker(capsys, "restore", tmp_path / "bad", "--data", tmp_path / "new", status=2)
        assert (victim.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o755), member.name
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["server.lock"]
