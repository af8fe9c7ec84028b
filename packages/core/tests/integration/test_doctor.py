# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""stoker doctor: each thing that stands in a server's way is found, with its remedy."""

from __future__ import annotations

import datetime as dt
import json
import os
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from simulation import until
from sqlalchemy import insert, update
from stoker.app import build_context, open_vault
from stoker.cli.main import run
from stoker.config import ServerConfig
from stoker.db import tables
from stoker.services import plugins
from stoker.services.diagnosis import local
from stoker_sdk.extension_points import tasks


@pytest.fixture
def config(server_context) -> ServerConfig:
    return server_context.config


def found(config, name):
    return next(check for check in local.checks(config) if check.name == name)


def test_a_server_that_was_only_made_has_nothing_wrong(config) -> None:
    assert [check for check in local.checks(config) if check.state == "fail"] == []
    names = [check.name for check in local.checks(config)]
    assert len(set(names)) == len(names)


def test_every_fault_has_a_remedy(tmp_path) -> None:
    for check in local.checks(ServerConfig(data_dir=tmp_path / "none")):
        assert check.state == "ok" or check.remedy, check


@pytest.mark.parametrize("name", ["master.key", "admin-token", "tls/server.key"])
def test_a_key_that_others_may_read(config, name) -> None:
    path = config.data_dir / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    path.chmod(0o640)
    check = found(config, "keys")
    assert (check.state, f"chmod 600 {path}" in check.remedy) == ("fail", True)


def test_a_master_key_that_is_gone(config) -> None:
    (config.data_dir / "master.key").unlink()
    assert "backup" in found(config, "keys").remedy


def test_a_folder_that_is_open_to_others(config) -> None:
    config.data_dir.chmod(0o755)
    check = found(config, "data-folder")
    assert (check.state, check.remedy) == ("fail", f"chmod 700 {config.data_dir}")


@pytest.mark.parametrize(("factor", "state"), [(0.0, "ok"), (0.5, "warn"), (2.0, "fail")])
def test_room_on_the_disk(config, factor, state) -> None:
    free = os.statvfs(config.data_dir).f_bavail * os.statvfs(config.data_dir).f_frsize
    smaller = ServerConfig(data_dir=config.data_dir, least_free_bytes=int(free * factor))
    assert found(smaller, "disk").state == state


@pytest.mark.parametrize(("days", "state"), [(-1, "fail"), (10, "warn"), (200, "ok")])
def test_the_end_of_the_certificate(config, days, state) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - dt.timedelta(days=400))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path = config.data_dir / "own.crt"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    assert found(ServerConfig(data_dir=config.data_dir, tls_cert=path), "certificate").state == state


def test_a_damaged_database(config, server_context) -> None:
    with server_context.database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE filler (x TEXT)")
        connection.exec_driver_sql("INSERT INTO filler VALUES (?)", [(os.urandom(100).hex(),) for _ in range(9999)])
    server_context.database.close()
    path = config.data_dir / "stoker.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 20_000)
    check = found(config, "database")
    assert (check.state, "backup" in check.remedy) == ("fail", True)


def test_tables_of_another_version(config, server_context) -> None:
    with server_context.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    assert "0001" in found(config, "database").detail


def test_a_clock_that_went_back(config, server_context) -> None:
    with server_context.database.transaction() as connection:
        connection.execute(
            insert(tables.nodes).values(id="n1", name="n1", address="n1", created_at=time.time() + 4000, status="online")
        )
    assert found(config, "clock").state == "fail"


def test_nodes_that_do_not_answer_and_nodes_never_seen(config, server_context) -> None:
    assert found(config, "nodes").state == "ok"
    with server_context.database.transaction() as connection:
        connection.execute(insert(tables.nodes).values(id="n1", name="web1", address="web1", created_at=1.0, status="new"))
    assert found(config, "nodes").detail == "never seen: web1"
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.nodes).values(status="unreachable"))
    assert "web1 (unreachable)" in found(config, "nodes").detail


def test_bundles_that_are_not_what_was_installed(config, server_context, make_bundle) -> None:
    plugins.install(server_context, make_bundle(name="motd"))
    assert found(config, "plugins").detail == "1 installed, bundles whole"
    bundle = config.data_dir / "plugins" / "motd" / "1.0.0" / "bundle.stoker"
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-30])
    assert "motd 1.0.0" in found(config, "plugins").detail
    bundle.write_bytes(make_bundle(name="motd", files={"more": b"x"}))
    assert "not the one that was installed" in found(config, "plugins").detail
    bundle.unlink()
    assert found(config, "plugins").state == "fail"


def test_a_plugin_for_another_version(config, server_context, make_bundle) -> None:
    plugins.install(server_context, make_bundle(name="motd"))
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.plugins).values(manifest='{"requires_stoker": ">=7"}'))
    assert found(config, "plugins").detail == "motd 1.0.0 wants Stoker >=7"


def test_what_an_interrupted_installation_left(config) -> None:
    (config.data_dir / "plugins" / "ghost" / "1.0.0").mkdir(parents=True)
    check = found(config, "leftovers")
    assert (check.state, "ghost/1.0.0" in check.detail) == ("warn", True)


def test_a_planning_process_that_cannot_start(config) -> None:
    tight = ServerConfig(data_dir=config.data_dir, planning_memory_bytes=1024 * 1024)
    assert found(tight, "planning").state == "fail"


# The command


def doctor(capsys, *words, url, data):
    status = run(["--server", url, "--data", str(data), "doctor", *words])
    return status, capsys.readouterr().out


def test_a_running_server_with_an_open_question(own_simulation, capsys) -> None:
    simulation = own_simulation
    task = tasks.Shell(id="once", roles=["asked"], run="run once", idempotent=False, timeout=2)
    environment = simulation.environment("asked", task)
    simulation.behave({"match": "run once", "hang": True})
    deployment = simulation.client.deploy(environment)
    until(simulation.starts, "the start")
    simulation.change("asked1", lose_spool=True)
    simulation.finish(deployment, "failed")
    status, told = doctor(capsys, "--json", url=simulation.url, data=simulation.data)
    checks = {check["name"]: check for check in json.loads(told)["checks"]}
    assert (status, json.loads(told)["ok"]) == (0, True)
    assert (checks["server"]["state"], checks["ready"]["state"]) == ("ok", "ok")
    assert f"asked.once on asked1 in asked (deployment {deployment['id']})" in checks["questions"]["detail"]
    status, told = doctor(capsys, "--remote", url=simulation.url, data=simulation.data)
    assert (status, "data-folder" in told, "ready" in told) == (0, False, True)


def test_a_server_that_does_not_run_and_a_fault(tmp_path, capsys) -> None:
    config = ServerConfig(data_dir=tmp_path / "data")
    build_context(config, open_vault(config)).database.close()
    (config.data_dir / "master.key").chmod(0o644)
    status, told = doctor(capsys, url="http://127.0.0.1:1", data=config.data_dir)
    assert (status, "chmod 600" in told, "no server runs" in told or "another program answers" in told) == (1, True, True)
