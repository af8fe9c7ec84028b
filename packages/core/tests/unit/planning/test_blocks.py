# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The format ``blocks``, and the order of sections in every format that has some."""

from __future__ import annotations

import pytest
from making import node, plugin, snapshot, text_of
from stoker.domain.plan import Plan
from stoker.errors import PlanningError
from stoker.planning.plans import make_plan
from stoker_sdk.extension_points import config_files

PATH = "/etc/x.cfg"


def made(form: str, *entries: tuple[str, str, object], sections: tuple[str, ...] = ()) -> Plan:
    file = config_files.ConfigFile(path=PATH, format=form, header="Ours", sections=sections)  # type: ignore[arg-type]
    options = [
        config_files.ListItem(path=PATH, section=section, key=key, items=value)
        if isinstance(value, list)
        else config_files.Option(path=PATH, section=section, key=key, value=value)  # type: ignore[arg-type]
        for section, key, value in entries
    ]
    return make_plan(snapshot([plugin("p", file, *options)], [node("n")]))


def lines(plan: Plan) -> list[str]:
    return text_of(plan, "n", PATH).splitlines()[2:]


def test_lines_stand_under_their_section_and_items_each_on_a_line() -> None:
    plan = made(
        "blocks",
        ("listen a:80", "server", ["two 2", "one 1"]),
        ("", "top", "x"),
        ("listen a:80", "tcp-check", True),
        ("listen a:80", "off", False),
        ("listen a:80", "gone", None),
        ("other", "number", 1.0),
    )
    assert lines(plan) == [
        "top x",
        "",
        "listen a:80",
        "    server two 2",
        "    server one 1",
        "    tcp-check",
        "",
        "other",
        "    number 1",
    ]
    owners = [[plan.origins[origin].contribution for origin in line] for line in plan.contents[0].lines]
    assert owners[5] == [f"config_files.list_item {PATH} [listen a:80] server"]


@pytest.mark.parametrize("form", ["blocks", "ini", "yaml"])
def test_sections_that_are_named_come_first_in_their_order(form: str) -> None:
    plan = made(form, ("b", "k", 1), ("z", "k", 1), ("a", "k", 1), ("w", "k", 1), sections=("z", "w", "unused"))
    heads = [line.strip("[]:") for line in lines(plan) if line and not line.lstrip().startswith("k")]
    assert heads == ["z", "w", "b", "a"]


def test_a_value_of_two_lines_is_refused() -> None:
    with pytest.raises(PlanningError, match="more than one line"):
        made("blocks", ("a", "k", "x\ny"))


def test_the_same_file_with_other_sections_is_another_declaration() -> None:
    one = config_files.ConfigFile(path=PATH, format="blocks", sections=["a"])
    two = config_files.ConfigFile(path=PATH, format="blocks", sections=["b"])
    with pytest.raises(PlanningError, match="declared in different ways by p and q"):
        make_plan(snapshot([plugin("p", one), plugin("q", two)], [node("n")]))
