# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins with code are installed without network, each version into a venv of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import zipfile
from pathlib import PurePosixPath

import code_plugins
import pytest
from stoker.errors import InvalidInputError, NotFoundError
from stoker.plugin_host.venvs import Venvs
from stoker.plugin_host.worker_code import WorkerCode
from stoker.services import plugin_removal, plugin_venvs, plugins
from stoker_sdk.bundle import open_bundle, write_bundle
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.manifest import read_manifest
from worker_venvs import CALLER, hook, workers_of

SOURCE = """
    class Api(RESTAPIPlugin):
        @staticmethod
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
"""
API = "rest_api.RestApi(call=code(Api))"


@pytest.fixture(scope="module")
def venvs(tmp_path_factory):
    made = Venvs(tmp_path_factory.mktemp("venvs") / "venvs")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    """The bundle of a small plugin."""
    return code_plugins.build(tmp_path_factory.mktemp("hello"), source=SOURCE, contributions=[API])


def unpacked(path, folder):
    opened = open_bundle(path)
    opened.extract(folder)
    return opened


def unpacked_members(path):
    opened = open_bundle(path)
    return json.loads(json.dumps(opened.manifest)), {name: (opened.read(name), False) for name in opened.names()}


def run(python, text):
    return subprocess.run([python, "-I", "-c", text], capture_output=True, text=True, check=True).stdout.strip()


def test_a_bundle_with_code_is_built_the_same_twice_and_says_what_it_takes_along(tmp_path):
    first = code_plugins.build(tmp_path / "a", source=SOURCE, contributions=[API]).read_bytes()
    second = code_plugins.build(tmp_path / "b", source=SOURCE, contributions=[API]).read_bytes()
    assert first == second
    code = open_bundle(first).plugin.code
    assert code.distribution == "stoker-plugin-hello==1.0.0"
    assert [wheel.file for wheel in code.wheels] == ["wheels/stoker_plugin_hello-1.0.0-py3-none-any.whl"]
    assert list(code.platforms) == []


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A site without internet: the wheels of two versions of a library, in a folder that pip is told of."""
    folder = tmp_path / "library"
    for version in ("1.0", "2.0"):
        code_plugins.wheel(folder, "palette", version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def installed(venvs, folder, name, version, **project):
    """The plugin version's interpreter and entry point; its bundle was built and unpacked below a folder."""
    place = folder / f"unpacked-{name}-{version}"
    opened = unpacked(code_plugins.build(folder, name, version, **project), place)
    venvs.ensure(place / "files", opened.plugin, opened.digest)
    return WorkerCode(python=venvs.python(name, version), entry=name)


def test_plugins_and_versions_with_contradictory_pins_work_at_once(tmp_path, venvs, library):
    source = """
        from stoker_sdk.context import Problem

        def check(settings):
            import palette  # it is in the plugin's venv alone

            return [Problem(field="palette", message=palette.version, remedy="")]
    """
    pins = {("one", "1.0.0"): "palette==1.0", ("one", "2.0.0"): "palette==2.0", ("two", "1.0.0"): "palette==2.0"}
    codes = {
        key: installed(
            venvs,
            tmp_path,
            *key,
            source=source,
            contributions=["validate_settings.ValidateSettings(call=code(check))"],
            dependencies=["stoker-sdk", pin],
        )
        for key, pin in pins.items()
    }

    async def ask(dispatcher, name, version):
        made = hook(f"stoker_plugin_{name}:check", plugin=name, version=version)
        answer = await dispatcher.call(made, {"settings": b"{}"}, environment=None, caller=CALLER, settings={})
        return json.loads(answer)[0]["message"]

    async def work():
        async with workers_of(tmp_path, codes) as (workers, _, dispatcher):
            answers = await asyncio.gather(*(ask(dispatcher, *key) for key in pins))
            assert len(workers.alive()) == len(pins)
            return answers

    assert asyncio.run(work()) == ["1.0", "2.0", "2.0"]
    venvs.remove("one", "1.0.0")
    with pytest.raises(NotFoundError):
        venvs.python("one", "1.0.0")
    assert sorted(venvs.sweep([("two", "1.0.0")])) == ["one/2.0.0"]
    assert sorted(item.name for item in venvs.root.iterdir()) == ["_server", "two"]
    venvs.remove("two", "1.0.0")


def test_a_build_takes_along_what_each_declared_platform_needs_and_names_what_is_missing(tmp_path, library):
    here, there = "cp311-manylinux_2_28_x86_64", "cp312-manylinux_2_28_aarch64"
    code_plugins.wheel(library, "rapid", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64", needs=["dye; python_version<'3.12'"])
    code_plugins.wheel(library, "rapid", "1.0", tag="cp312-abi3-manylinux_2_28_aarch64", needs=["paint; python_version>='3.12'"])
    code_plugins.wheel(library, "dye", "3.0")
    code_plugins.wheel(library, "paint", "4.0")
    project = {
        "source": SOURCE,
        "contributions": [API],
        "dependencies": ["stoker-sdk", "rapid", "palette; platform_machine == 'aarch64'"],
        "more": f'[tool.stoker]\nplatforms = ["{here}", "{there}"]',
    }
    code = open_bundle(code_plugins.build(tmp_path / "whole", **project)).plugin.code
    assert {PurePosixPath(item.file).name: list(item.platforms) for item in code.wheels} == {
        "rapid-1.0-cp311-cp311-manylinux_2_17_x86_64.whl": [here],
        "rapid-1.0-cp312-abi3-manylinux_2_28_aarch64.whl": [there],
        "dye-3.0-py3-none-any.whl": [],
        "paint-4.0-py3-none-any.whl": [],
        "palette-2.0-py3-none-any.whl": [],
        "stoker_plugin_hello-1.0.0-py3-none-any.whl": [],
    }
    assert list(code.platforms) == [here, there]
    for path in library.glob("rapid-1.0-cp312*"):
        path.unlink()
    with pytest.raises(InvalidPluginError) as caught:
        code_plugins.build(tmp_path / "less", **project)
    (finding,) = caught.value.findings
    assert finding.rule == "X082"
    assert there in finding.message
    assert "rapid" in finding.message
    project["more"] = '[tool.stoker]\nplatforms = ["linux"]'
    with pytest.raises(InvalidPluginError, match="X080"):
        code_plugins.build(tmp_path / "wrong", **project)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("../../../../evil.py", "leaves the venv"),
        ("evil.pth", "whenever Python starts"),
        ("sitecustomize.py", "whenever Python starts"),
        ("stoker_sdk/evil.py", "replaces the SDK"),
        ("stoker_plugin_hello/__init__.py", "stands in it twice"),
        ("stoker_plugin_hello-1.0.0.data/data/etc/passwd", "beside the packages"),
    ],
)
def test_a_hostile_wheel_is_refused(tmp_path, venvs, hello, member, reason):
    opened = unpacked(hello, tmp_path / "unpacked")
    with zipfile.ZipFile(tmp_path / "unpacked" / "files" / opened.plugin.code.wheels[0].file, "a") as archive:
        archive.writestr(member, "raise SystemExit")
    with pytest.raises(InvalidInputError, match=reason):
        venvs.ensure(tmp_path / "unpacked" / "files", opened.plugin, opened.digest)
    assert not (venvs.root / "hello").exists()


def test_a_wheel_that_the_manifest_does_not_name_is_refused(tmp_path, venvs, hello):
    opened = unpacked(hello, tmp_path / "unpacked")
    stray = code_plugins.wheel(tmp_path / "unpacked" / "files" / "wheels", "stray", "1.0")
    with pytest.raises(InvalidInputError, match=rf"does not name 'wheels/{stray.name}'"):
        venvs.ensure(tmp_path / "unpacked" / "files", opened.plugin, opened.digest)
    assert not (venvs.root / "hello").exists()


def test_a_bundle_for_another_python_or_platform_is_refused_by_name(tmp_path, venvs, hello):
    opened = unpacked(hello, tmp_path / "unpacked")
    manifest = json.loads((tmp_path / "unpacked" / "manifest.json").read_text())
    for change, words in (
        ({"requires_python": "<3.11"}, "wants Python <3.11"),
        ({"platforms": ["cp399-manylinux_2_28_x86_64"]}, "cp399-manylinux_2_28_x86_64"),
        ({"distribution": "stoker-plugin-hello==2"}, "do not fit together"),
        ({"distribution": "--find-links=/etc"}, "is no distribution"),
        ({"distribution": "evil @ file:///etc/evil-1-py3-none-any.whl"}, "is no distribution"),
        ({"wheels": [{"file": "../evil-1-py3-none-any.whl"}]}, "is not in its bundle"),
        ({"wheels": [{"file": "wheels/missing-1-py3-none-any.whl"}]}, "is not in its bundle"),
    ):
        changed = read_manifest({**manifest, "code": {**manifest["code"], **change}})
        with pytest.raises(InvalidInputError, match=words):
            venvs.ensure(tmp_path / "unpacked" / "files", changed, opened.digest)


def test_a_venv_of_another_python_is_made_anew(tmp_path, venvs, hello):
    opened = unpacked(hello, tmp_path / "unpacked")
    folder = tmp_path / "unpacked" / "files"
    venvs.ensure(folder, opened.plugin, opened.digest)
    mark = venvs.folder("hello", "1.0.0") / ".stoker.json"
    mark.write_text(json.dumps({"base": "another", "digest": opened.digest}))
    assert not venvs.is_ready("hello", "1.0.0")
    venvs.ensure(folder, opened.plugin, opened.digest)
    assert venvs.is_ready("hello", "1.0.0")
    venvs.remove("hello", "1.0.0")


def test_the_server_installs_and_uninstalls_code_and_keeps_the_registry(server_context, tmp_path, hello):
    context = server_context
    _, new = plugins.install(context, hello.read_bytes())
    assert new
    assert context.venvs.is_ready("hello", "1.0.0")
    entry = context.registry.read().plugins["hello"]
    assert (entry.default, entry.versions["1.0.0"].application) == ("1.0.0", True)
    plugins.install(context, code_plugins.build(tmp_path, version="1.10.0").read_bytes())
    assert context.registry.read().plugins["hello"].default == "1.10.0"
    assert not context.venvs.folder("hello", "1.10.0").exists()  # it has no code

    mark = context.venvs.folder("hello", "1.0.0") / ".stoker.json"
    mark.unlink()
    assert plugin_venvs.make_missing(context) == []
    assert context.venvs.is_ready("hello", "1.0.0")

    for version in ("1.0.0", "1.10.0"):
        plugin_removal.uninstall(context, "hello", version)
    assert not (context.config.venvs / "hello").exists()
    assert "hello" not in context.registry.read().plugins
    assert "uninstalled" in context.registry.read().gone["hello"]


def test_code_that_cannot_be_installed_leaves_nothing(server_context, tmp_path, library):
    bundle = code_plugins.build(tmp_path, dependencies=["stoker-sdk", "palette<2"], source=SOURCE, contributions=[API])
    manifest, files = unpacked_members(bundle)
    manifest["code"]["wheels"] = [wheel for wheel in manifest["code"]["wheels"] if "palette" not in wheel["file"]]
    files = {path: data for path, data in files.items() if "palette" not in path}
    with pytest.raises(InvalidInputError, match="palette"):
        plugins.install(server_context, write_bundle(manifest, files, tmp_path / "changed").read_bytes())
    assert not (server_context.config.venvs / "hello").exists()
    assert not server_context.store.folder("hello", "1.0.0").exists()
    assert "hello" not in server_context.registry.read().plugins


def test_programs_and_replacements_of_a_plugin_stay_its_own(tmp_path, venvs, library):
    code_plugins.wheel(library, "stevedore", "99.0")
    more = '[project.scripts]\nuvicorn = "stoker_plugin_hello:Api"'
    bundle = code_plugins.build(
        tmp_path, source=SOURCE, contributions=[API], dependencies=["stoker-sdk", "stevedore>=99"], more=more
    )
    assert any("/stevedore-99.0-" in wheel.file for wheel in open_bundle(bundle).plugin.code.wheels)  # it names it itself
    opened = unpacked(bundle, tmp_path / "unpacked")
    wheel = tmp_path / "unpacked" / "files" / opened.plugin.code.wheels[-1].file
    before = tree(venvs)
    venvs.ensure(tmp_path / "unpacked" / "files", opened.plugin, opened.digest)
    assert [item.name for item in (venvs.folder("hello", "1.0.0") / "bin").iterdir()] == ["python"]
    assert run(venvs.python("hello", "1.0.0"), "import stoker_plugin_hello as m; print(m.plugin.name)") == "hello"
    assert tree(venvs) == before
    venvs.remove("hello", "1.0.0")
    for member, reason in (
        ("pydantic/main.py", "replaces a file of another distribution"),
        ("pydantic-99.dist-info/METADATA", "says that it is another distribution"),
    ):
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr(member, "raise SystemExit")
        with pytest.raises(InvalidInputError, match=reason):
            venvs.ensure(tmp_path / "unpacked" / "files", opened.plugin, opened.digest)
    assert not (venvs.root / "hello").exists()


def tree(venvs):
    """All files that every venv is made of, with what tells that one was changed."""
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in venvs.prepare().rglob("*") if path.is_file()}
