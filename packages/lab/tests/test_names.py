# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Names of labs and nodes: what files and hosts cannot be called is refused at once, and nothing is left."""

from __future__ import annotations

import pytest
from stoker.cli.main import run
from stoker_lab import nodes
from stoker_lab.errors import LabNameError


@pytest.mark.parametrize("name", ["a b", "", "../x", "Lab", "-a", "ä", "a" * 33, "a\n"])
def test_a_name_that_does_not_fit_is_bad_input(tmp_path, capsys, name):
    assert run(["lab", "--state", str(tmp_path / "state"), "--name", name, "up"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {name!r} is not a lab's name.\nremedy: ")
    assert "lower-case letters, digits and dashes" in said
    assert not (tmp_path / "state").exists()


def test_a_prefix_that_does_not_fit_is_refused_before_anything_is_looked_at(tmp_path):
    with pytest.raises(LabNameError, match="prefix"):
        nodes.Lab(tmp_path / "state", "lab").up(1, "a b")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", ["lab", "2nd", "a-b", "a" * 32])
def test_a_name_that_fits_is_taken(tmp_path, name):
    assert nodes.Lab(tmp_path, name).name == name
