# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers of a test: a venv with the SDK and a plugin's module, and the workers that run it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import stoker_sdk
from stoker.plugin_host.back import BackChannel
from stoker.plugin_host.dispatch import Dispatcher, Hook
from stoker.plugin_host.quarantine import Kept, Quarantine
from stoker.plugin_host.sandbox.choice import KINDS, Sandbox
from stoker.plugin_host.worker_code import WorkerCode
from stoker.plugin_host.workers import Limits, Workers
from stoker_sdk.context.values import Caller

NEEDED = [
    *("h11", "click", "uvicorn", "a2wsgi", "websockets", "msgspec", "stevedore", "packaging"),
    *("flask", "jinja2", "markupsafe", "werkzeug", "blinker", "itsdangerous"),
]
CALLER = Caller(kind="user", name="ada", access="operator", permissions=("write",))


def venv(folder: Path, module: str, source: str, name: str = "hello", version: str = "1.0.0") -> WorkerCode:
    """A venv in which a plugin's module is installed, together with all that these tests have."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    packages = Path(
        subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True).strip()
    )
    for name in NEEDED:
        shutil.copytree(Path(sysconfig.get_path("purelib")) / name, packages / name)
    sdk = Path(stoker_sdk.__file__).parent
    shutil.copytree(sdk, packages / "stoker_sdk")
    (packages / f"{module}.py").write_text(textwrap.dedent(source))
    info = packages / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[stoker.plugins]\n{name} = {module}:plugin\n")
    return WorkerCode(python=python, entry=name)


class Forgetful:
    """Keeps no quarantine beyond the test."""

    def load(self) -> list[Kept]:
        return []

    def keep(self, kept: Kept, change: str) -> None:
        pass


@contextlib.asynccontextmanager
async def workers_of(folder: Path, codes: dict[tuple[str, str], WorkerCode], kinds=KINDS, share=0.5, **limits):
    """Workers, their way back, and a dispatcher; all are stopped in the end, and nothing is left."""
    run = folder / "w"
    back = BackChannel()
    sandbox = Sandbox(run, share=share, allow_unconfined=not kinds, kinds=kinds)
    workers = Workers(Limits(**limits), lambda name, version: codes[name, version], sandbox, back)
    try:
        yield workers, back, Dispatcher(workers, back, Quarantine(Forgetful()))
    finally:
        await workers.close()
        sandbox.close()
        assert not run.exists() or not [*run.iterdir()]


def hook(function, point="validate_settings", name="check", deadline=10.0, plugin="hello", version="1.0.0", **more):
    """A hook of the plugin."""
    return Hook(plugin=plugin, version=version, point=point, name=name, function=function, deadline=deadline, **more)
