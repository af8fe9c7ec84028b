# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What the manual promises about extension points, rules and the SDK's face is there, and its examples are right."""

import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import stoker_sdk
import yaml
from stoker_sdk.extension_points import all_points, settings
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.model.generator import GENERATORS
from stoker_sdk.validation import check_plugin

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples" / "extension_points"
POINTS = sorted(all_points())
BUNDLED = [importlib.import_module(path.name).plugin for path in sorted(ROOT.glob("plugins/*/src/stoker_plugin_*"))]


def load(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference():
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        return load("stoker_reference", DOCS / "_ext" / "stoker_reference.py")
    finally:
        sys.path.remove(str(DOCS / "_ext"))


def manifest_of_python(point):
    return json.loads(json.dumps(to_manifest(load(f"example_{point}", EXAMPLES / f"{point}.py").plugin)))


def test_every_point_has_a_page():
    pages = {file.stem for file in (DOCS / "reference" / "extension-points").glob("*.md")}
    assert pages == set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_point_has_an_example_that_uses_it(point):
    tags = {str(kind.__struct_config__.tag) for kind in all_points()[point].contributions}
    assert tags & {c["point"] for c in manifest_of_python(point)["contributions"]}


@pytest.mark.parametrize("point", [p for p in POINTS if (EXAMPLES / f"{p}.yaml").exists() or not all_points()[p].needs_code])
def test_both_front_doors_say_the_same(point):
    from_yaml = read_manifest(yaml.safe_load((EXAMPLES / f"{point}.yaml").read_text()))
    python = manifest_of_python(point)
    for contribution in python["contributions"]:
        if contribution["point"] == "settings":  # pydantic adds nothing but the order of words
            contribution["schema"]["properties"] = dict(sorted(contribution["schema"]["properties"].items()))
    written = json.loads(json.dumps(to_manifest(from_yaml)))
    assert written == python


@pytest.mark.parametrize("point", POINTS)
def test_examples_have_no_faults(point):
    assert check_plugin(load(f"checked_{point}", EXAMPLES / f"{point}.py").plugin) == []


@pytest.mark.parametrize("point", POINTS)
def test_a_bundled_plugin_uses_the_point_and_the_table_says_so(reference, point):
    users = [
        plugin.name for plugin in BUNDLED if {type(c) for c in plugin.contributions} & set(all_points()[point].contributions)
    ]
    assert users
    table = reference.fill((DOCS / "reference" / "extension-points.md").read_text())
    (row,) = [line for line in table.splitlines() if line.startswith(f"| [`{point}`]")]
    assert row.endswith(f"| {', '.join(f'`{user}`' for user in users)} |")


@pytest.mark.parametrize("point", POINTS)
def test_page_names_every_class_and_field_with_its_text(reference, point):
    page = reference.fill((DOCS / "reference" / "extension-points" / f"{point}.md").read_text())
    for kind in all_points()[point].contributions:
        assert f"### {kind.__name__}\n" in page
        for field in kind.__struct_fields__:
            encoded = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))[field]
            row = re.search(rf"^\| `{re.escape(encoded)}` \|.*\| (.+) \|$", page, re.MULTILINE)
            assert row, f"{kind.__name__}.{field} has no text under it"


def test_page_of_settings_names_every_parameter_limit_and_generator(reference):
    page = reference.fill((DOCS / "reference" / "extension-points" / "settings.md").read_text())
    for name in [*inspect.signature(settings.field).parameters, *settings.LIMITS, *GENERATORS]:
        if name != "limits":
            assert re.search(rf"^\| `{name}` \| .*\w", page, re.MULTILINE), f"{name} has no row"
    for words in ("x-secret", "x-when", "`minimum`", "`maxLength`", "`public.FIELD.public_key`", "`public.FIELD.ca`"):
        assert words in page


def test_reference_of_the_sdk_is_its_face(reference):
    page = reference.fill((DOCS / "reference" / "sdk.md").read_text())
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == sorted(stoker_sdk.__all__) == list(stoker_sdk.__all__)


def test_every_rule_has_a_section(reference):
    page = reference.fill((DOCS / "reference" / "rules.md").read_text())
    written = set(re.findall(r"^## ([A-Z]\d{3})$", page, re.MULTILINE))
    named = set()
    for file in ROOT.glob("packages/*/src/**/*.py"):
        named |= set(re.findall(r"[\"']([A-Z]\d{3})[\"']", file.read_text()))
    assert written == named


def test_every_rule_has_a_message(reference):
    for section in re.split(r"^## ", reference.rules.page(), flags=re.MULTILINE)[1:]:
        assert re.search(r"^- \S", section, re.MULTILINE), f"{section[:4]} says nothing"


def test_messages_are_found_where_they_come_from(reference):
    found = {}
    for use in reference.rules.uses():
        found.setdefault(use.rule, set()).add((use.message, use.remedy))
    assert ("it needs «text», but «there» enabled here.", "Enable «text» first.") in found["D001"]  # a variable
    assert ("give either port or file.", "Remove one of the two, or add one.") in found["E002"]  # a parameter
    assert ("the key «name» is there twice", "") in found["Y002"]  # an exception
    assert any("there is no variable" in message for message, _ in found["E003"])  # a generator
    assert any(message == "there is no extension point «point»." for message, _ in found["P014"])  # a list of tuples


def test_a_rule_means_one_thing(reference):
    rooms = {}
    for use in reference.rules.uses():
        rooms.setdefault(use.rule, set()).add(use.room.split(".")[1])
    assert {rule: found for rule, found in rooms.items() if {"planning", "domain"} <= found} == {}


@pytest.mark.timeout(300)
def test_manual_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    built = (tmp_path / "html" / "reference" / "extension-points" / "tasks.html").read_text()
    assert "<!-- stoker:" not in built
    assert "restart_on" in built


def test_the_reference_names_every_request_with_what_it_does(reference):
    page = reference.SOURCES["http-api"]("")
    paths = reference.http_api.description()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert f"### {method.upper()} {path}\n" in page
            said = operation["description"].split("\n\nAccess level")[0]
            assert len(said.split()) > 1, f"{method} {path} does not say what it does"


def test_the_reference_names_every_metric(reference):
    page = reference.SOURCES["metrics"]("")
    assert "`stoker_http_requests_total`" in page
    assert "`stoker_nodes` | gauge | `status`" in page
