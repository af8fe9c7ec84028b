# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Escapes: what a plugin's code must not reach, tried once below a root server and once below an ordinary one."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import textwrap
import time
from pathlib import Path

import code_plugins
import ordinary_user
import pytest

MARK = "marker-of-the-servers-environment"
SOURCE = '''
import json


class Api(RESTAPIPlugin):
    @staticmethod
    def application(environ, start_response):
        """Run the Python that is sent, and tell what it left in `found`."""
        names = {"found": None}
        try:
            exec(environ["wsgi.input"].read().decode(), names)
            told = {"found": names["found"]}
        except BaseException as error:
            told = {"error": type(error).__name__, "text": str(error)}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told, default=repr).encode()]
'''


class Prison:
    """A server with two plugins, `inmate` and `neighbour`."""

    def __init__(self, server, home):
        self.server = server
        self.home = home

    def ask(self, plugin, script, method="POST"):
        with self.server.client() as client:
            told = client.request(method, f"/api/plugins/{plugin}/", content=textwrap.dedent(script).encode())
        assert told.status_code == 200, told.text
        return told.json()

    def found(self, script):
        told = self.ask("inmate", script)
        assert "error" not in told, told
        return told["found"]

    def error(self, script):
        return self.ask("inmate", script).get("error", "it worked")


def _give(folder, user):
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user, follow_symlinks=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory, running_server_class):
    """A data folder with the two plugins, and a home with a key."""
    folder = Path(tempfile.mkdtemp(prefix="stoker-escapes-", dir="/var/tmp"))
    folder.chmod(0o755)
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text("a private key")
    bundles = tmp_path_factory.mktemp("escapes")
    server = running_server_class(folder / "data")
    server.start()
    try:
        with server.client() as client:
            for name in ("inmate", "neighbour"):
                bundle = code_plugins.build(bundles, name, source=SOURCE, contributions=["rest_api.RestApi(call=code(Api))"])
                assert client.post("/api/plugins", content=bundle.read_bytes()).status_code == 201
        server.kill(signal.SIGTERM)
        yield folder
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["root", "ordinary"])
def prison(request, built, running_server_class):
    if request.param == "root" and os.geteuid():
        pytest.skip("this is not root")
    folder = built / request.param
    folder.mkdir()
    folder.chmod(0o755)
    shutil.copytree(
        built / "data", folder / "data", symlinks=True, ignore=shutil.ignore_patterns("*.sock")
    )  # whose files are nobody else's, unlike those of venvs
    shutil.copytree(built / "home", folder / "home")
    server = running_server_class(folder / "data")
    server.log = folder / "log"
    server.surroundings = {"HOME": str(folder / "home"), "STOKER_TEST_MARK": MARK}
    if request.param == "ordinary":
        server.before = ordinary_user.words(folder)
        if not os.geteuid():
            _give(folder / "data", ordinary_user.ORDINARY)
            _give(folder / "home", ordinary_user.ORDINARY)
    server.start()
    try:
        made = Prison(server, folder / "home")
        made.kind = request.param
        yield made
    finally:
        server.kill()


def test_it_is_nobody_and_runs_in_a_sandbox(prison) -> None:
    health = {}
    for _ in range(100):
        with prison.server.client() as client:
            health = client.get("/api/health").json()
        if "sandbox" in health:
            break
        time.sleep(0.05)
    assert health["sandbox"] == "bubblewrap"
    user, real = prison.found("import os; found = [os.getuid(), open('/proc/self/status').read()]")
    assert user != 0
    assert "CapEff:\t0000000000000000" in real
    assert "NoNewPrivs:\t1" in real
    if prison.kind == "root":
        assert user >= 61184
        assert prison.error("import os; os.setuid(0)") == "PermissionError"


def test_it_sees_none_of_the_servers_files(prison) -> None:
    data = prison.server.data_dir
    for path in (data / "stoker.db", data / "master.key", data / "admin-token", prison.home / ".ssh" / "id_ed25519"):
        assert path.exists()
        assert prison.error(f"open({str(path)!r}).read()") in ("FileNotFoundError", "PermissionError"), path
    assert prison.error(f"open({str(data / 'stoker.db')!r}, 'w')") in ("FileNotFoundError", "OSError", "PermissionError")
    seen = prison.found(
        f"""
        import os
        found = []
        for folder, folders, files in os.walk("/", onerror=lambda error: None):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/usr", "/sys")]
            found += [os.path.join(folder, name) for name in files]
        found = [path for path in found if not path.startswith({str(data / "venvs" / "inmate")!r})]
        """
    )
    assert seen
    for word in ("stoker.db", "master.key", "admin-token", "id_ed25519", "/shadow", "/neighbour", "worker.sock", ".bash_history"):
        assert not [path for path in seen if path.endswith(word)], word


def test_it_sees_no_other_process_and_cannot_end_one(prison) -> None:
    everything = prison.found(
        """
        import glob
        found = []
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                found.append(open(path, "rb").read().decode("latin-1"))
            except OSError:
                pass
        """
    )
    assert everything
    assert not [text for text in everything if MARK in text]
    process = prison.server.process.pid
    assert prison.error(f"import os; os.kill({process}, 15)") in ("ProcessLookupError", "PermissionError")
    assert prison.error(f"open('/proc/{process}/environ', 'rb').read()") in ("FileNotFoundError", "PermissionError")
    assert prison.error("import os; os.kill(-1, 9)") == "ProcessLookupError"  # of all that it may end nothing is there
    with prison.server.client() as client:
        assert client.get("/api/health").json()["status"] == "ok"
    assert prison.server.process.poll() is None
    assert prison.found("found = 'again'") == "again"


def test_it_has_none_of_the_kernels_keys_of_the_servers_session(prison) -> None:
    session = prison.found(
        """
        import ctypes
        import os
        number = {"x86_64": 250, "aarch64": 219}[os.uname().machine]  # keyctl
        told = ctypes.create_string_buffer(200)
        length = ctypes.CDLL(None).syscall(number, 6, -3, told, 200)  # describe the session's keyring
        found = told.value.decode() if length > 0 else "none"
        """
    )
    assert session == "none" or session.endswith(";_ses")  # a new one, not one that was inherited


def test_it_reaches_no_network_and_no_socket_of_another(prison) -> None:
    port = prison.server.port
    connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2)"
    assert prison.error(connect) in ("ConnectionRefusedError", "OSError")
    assert prison.found("import socket; found = [name for _, name in socket.if_nameindex()]") == ["lo"]
    assert prison.ask("neighbour", "found = 1") == {"found": 1}
    sockets = [*(prison.server.data_dir / "workers").glob("*/*.sock")]
    assert len(sockets) >= 4
    for path in sockets:
        script = f"import socket; made = socket.socket(socket.AF_UNIX); made.connect({str(path)!r})"
        assert prison.error(script) in ("FileNotFoundError", "PermissionError")


def test_it_asks_the_server_for_itself_alone(prison) -> None:
    neighbour = prison.ask("neighbour", "from stoker_sdk.context import current; found = current().api._token")["found"]
    script = f"""
        from stoker_sdk.context import current
        from stoker_sdk.worker.channel import Channel
        channel = Channel(current().api._line, {neighbour!r})
        found = channel.request("GET", "/api/nodes").status
        """
    assert prison.found(script) == 401
    assert (
        prison.found("from stoker_sdk.context import current; found = current().api.request('GET', '/api/nodes').status") == 403
    )
    asked = "from stoker_sdk.context import current; current().records.get('anything', 'key')"
    assert prison.error(asked) == "RecordsError"


def test_it_changes_nothing_that_lasts(prison) -> None:
    venv = prison.server.data_dir / "venvs" / "inmate"
    module = next(venv.rglob("stoker_plugin_inmate/__init__.py"))
    for path in (module, Path("/usr/bin/stoker-was-here"), Path("/etc/passwd"), Path("/run/stoker/worker.sock"), Path("/dev/x")):
        assert prison.error(f"open({str(path)!r}, 'a')") in ("OSError", "PermissionError"), path
    assert (
        prison.error("import ctypes; assert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0")
        == "AssertionError"
    )
    full = "file = open('/tmp/large', 'wb')\nwhile True: file.write(bytes(1 << 20)); file.flush()"
    assert prison.error(full) == "OSError"


def test_what_it_writes_is_shown_without_flooding_anything(prison) -> None:
    prison.found("print('a line that is told'); found = 0")
    with prison.server.client() as client:
        running = client.get("/api/plugin-workers").json()["items"]
        inmate = next(item for item in running if item["plugin"] == "inmate")
        assert (inmate["confined"], inmate["application"]) == (True, "wsgi")
        assert 5_000_000 < inmate["memory_bytes"] < 200_000_000
        for _ in range(100):
            lines = client.get("/api/plugin-logs/inmate").json()["items"]
            if "a line that is told" in [line["text"] for line in lines]:
                break
            time.sleep(0.02)
        else:
            raise AssertionError(lines)


def test_nothing_is_left_when_the_server_is_killed(prison) -> None:
    script = """
        import subprocess
        subprocess.Popen(["/bin/sh", "-c", "trap '' TERM HUP; while :; do sleep 5; : MARK; done"], start_new_session=True)
        """.replace("MARK", f"left-by-{prison.kind}-{prison.server.port}")
    assert prison.ask("inmate", script) == {"found": None}

    def left():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if f"left-by-{prison.kind}-{prison.server.port}".encode() in words or (
                b"stoker_sdk.worker" in words and str(prison.server.data_dir).encode() in words
            ):
                found.append(words)
        return found

    assert len(left()) >= 2
    prison.server.kill()
    end = time.monotonic() + 5
    while left() and time.monotonic() < end:
        time.sleep(0.02)
    assert not left()
    prison.server.start()
    assert prison.found("found = 'again'") == "again"
