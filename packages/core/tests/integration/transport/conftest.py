# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the shared suite: every test runs at each kind of place."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from stoker_lab.pytest_fixtures import lab, lab_nodes  # noqa: F401  fixtures

_SPEC = importlib.util.spec_from_file_location("transport_places", Path(__file__).with_name("places.py"))
places = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(places)

LAB = pytest.param("lab", marks=pytest.mark.lab)


def _open(kind, request, tmp_path):
    if kind == "lab":
        node = request.getfixturevalue("lab_nodes")(1)[0]
        return places.LabPlace(request.getfixturevalue("lab"), node)
    return places.SshPlace(tmp_path) if kind == "ssh" else places.SimulatedPlace(tmp_path)


@pytest.fixture(params=["ssh", "simulated", LAB])
async def place(request, tmp_path):
    """Each kind of place."""
    opened = _open(request.param, request, tmp_path)
    yield opened
    await opened.finish()


@pytest.fixture(params=["simulated", LAB])
async def machine(request, tmp_path):
    """Places with packages, services and reboots."""
    opened = _open(request.param, request, tmp_path)
    yield opened
    await opened.finish()


@pytest.fixture
async def ssh(request, tmp_path):
    """An SSH server alone."""
    opened = _open("ssh", request, tmp_path)
    yield opened
    await opened.finish()


@pytest.fixture
async def simulated(request, tmp_path):
    """A modelled node alone."""
    opened = _open("simulated", request, tmp_path)
    yield opened
    await opened.finish()


@pytest.fixture
def shape():
    """Makes materials with a program of a kind of task: the suite's, or another one."""
    return lambda program=places.SHAPE_PROGRAM: places.Given({places.SHAPE: program})


@pytest.fixture
def given():
    """Materials with contents by name."""
    return places.Given
