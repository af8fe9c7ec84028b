# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repositories in plans: who gets them, by which files, and which versions come from them."""

from __future__ import annotations

import msgspec
import pytest
from making import carried_out, node, order, plugin, running, snapshot, text_of
from stoker.domain.action import PackagesAction
from stoker.domain.node import Facts
from stoker.domain.plan import Plan
from stoker.domain.repository import RepositoryAccess
from stoker.domain.snapshot import Snapshot
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker.planning.watch import watch_lists
from stoker_sdk.extension_points import roles, tasks
from stoker_sdk.extension_points.node_packages import NodePackages, Package, Repository, RepositoryPackage

ACCESS = RepositoryAccess(fingerprint="ABCD" * 10, key="the key\nof the server\n")
SOURCE = "/etc/apt/sources.list.d/stoker-store.sources"
PREFERENCES = "/etc/apt/preferences.d/stoker-store"
KEY = "/etc/apt/keyrings/stoker-store.asc"


def package(name, version, architecture="all", sha256="0" * 64):
    file = f"{name}_{version.replace(':', '_')}_{architecture}"
    return RepositoryPackage(name=name, version=version, architecture=architecture, file=f"{file}.deb", sha256=sha256)


def store(*packages, name="store", wanted=("tool",), version="1.0.0", **more):
    return plugin(
        name,
        roles.Role(name=f"{name}-role"),
        Repository(path="repository", packages=packages or [package("tool", "1:2.0-3")]),
        NodePackages(roles=[f"{name}-role"], packages=list(wanted)),
        version=version,
        **more,
    )


def given(*plugins, access=ACCESS, nodes=None, **facts) -> Snapshot:
    made = Facts(os_family="debian", **{"architecture": "x86_64", **facts})
    return snapshot(list(plugins), nodes or [node("n1", "store-role", facts=made)], repository=access)


def action_of(plan: Plan, task: str) -> PackagesAction:
    number = next(number for number, item in enumerate(plan.tasks) if item.name == task)
    found = plan.actions[next(item.action for item in plan.instances if item.task == number)]
    assert isinstance(found, PackagesAction)
    return found


def test_a_package_of_the_repository_has_its_exact_version_and_comes_after_the_source():
    plan = make_plan(given(store()))
    (planned,) = plan.packages
    assert (planned.status, planned.version) == ("install", "1:2.0-3")
    assert order(plan, "n1") == ["store.repository", "store.packages"]
    action = action_of(plan, "store.packages")
    assert (action.repositories, action.way) == (["stoker-store"], ACCESS.way)
    assert action.install[0].version == "1:2.0-3"


def test_the_files_trust_the_key_for_this_source_and_let_it_give_what_the_manifest_names():
    plan = make_plan(given(store(package("tool", "2"), package("helper", "1"))))
    assert text_of(plan, "n1", KEY) == ACCESS.key
    assert text_of(plan, "n1", PREFERENCES) == (
        "Package: *\nPin: release o=Stoker\nPin-Priority: -1\n\n"
        "Package: helper tool\nPin: release o=Stoker,l=stoker-store-1.0.0\nPin-Priority: 990\n"
    )
    source = text_of(plan, "n1", SOURCE)
    assert "URIs: http://stoker.invalid/repositories/store/1.0.0/debian/\nSuites: ./\n" in source
    assert f"Signed-By: {KEY}\nEnabled: no\n" in source
    planned = next(file for file in plan.files if file.path == SOURCE)
    assert {plan.origins[number].contribution for line in plan.contents[planned.content].lines for number in line} == {
        "node_packages.repository repository"
    }


def test_with_an_address_of_its_own_nothing_comes_through_the_connection():
    plan = make_plan(given(store(), access=msgspec.structs.replace(ACCESS, url="http://mirror.example/stoker/")))
    source = text_of(plan, "n1", SOURCE)
    assert "URIs: http://mirror.example/stoker/repositories/store/1.0.0/debian/\n" in source
    assert source.endswith("Enabled: yes\n")
    assert action_of(plan, "store.packages").way == ""


def test_what_is_carried_out_is_not_done_again_and_watched():
    before = given(store())
    after = carried_out(before, make_plan(before))
    assert running(make_plan(after)) == {}
    assert {KEY, PREFERENCES, SOURCE} <= set(watch_lists(before)[0].files)


def test_nodes_without_packages_of_the_plugin_do_not_get_its_repository():
    facts = Facts(os_family="debian", architecture="x86_64")
    plan = make_plan(given(store(), nodes=[node("n1", "store-role", facts=facts), node("n2", facts=facts)]))
    assert running(plan).keys() == {("n1", "store.repository"), ("n1", "store.packages")}


def test_a_condition_that_does_not_hold_keeps_the_repository_away():
    part = plugin(
        "store",
        Repository(path="repository", packages=[package("tool", "1")]),
        NodePackages(roles=["*"], packages=["tool"], when="node.name == 'n2'"),
    )
    facts = Facts(os_family="debian", architecture="x86_64")
    plan = make_plan(given(part, nodes=[node("n1", facts=facts), node("n2", facts=facts)]))
    assert {name for name, _ in running(plan)} == {"n2"}


@pytest.mark.parametrize(
    ("installed", "applied", "status"),
    [("1:1.0-1", "1:1.0-1", "upgrade"), ("2:0-1", "", "downgrade"), ("1:1.0-1", "1:2.0-3", "drift"), ("1:2.0-3", "", "same")],
)
def test_another_version_on_the_node_is_told_as_what_it_is(installed, applied, status):
    before = given(store())
    done = carried_out(before, make_plan(before))
    (held,) = done.nodes
    owned = {name: msgspec.structs.replace(item, version=applied) for name, item in held.applied.packages.items()}
    held = msgspec.structs.replace(
        held,
        observed=msgspec.structs.replace(held.observed, packages={"tool": installed}),
        applied=msgspec.structs.replace(held.applied, packages=owned),
    )
    plan = make_plan(msgspec.structs.replace(done, nodes=[held]))
    assert [item.status for item in plan.packages] == [status]
    assert (("n1", "store.packages") in running(plan)) == (status != "same")


def test_a_newer_version_of_the_plugin_changes_source_and_preferences_and_upgrades():
    before = given(store())
    done = carried_out(before, make_plan(before))
    newer = store(package("tool", "1:3.0-1"), version="2.0.0")
    plan = make_plan(msgspec.structs.replace(done, plugins=[newer]))
    assert [item.status for item in plan.packages] == ["upgrade"]
    assert {file.path for file in plan.files if file.status == "change"} == {SOURCE, PREFERENCES}


def test_the_newest_version_that_fits_the_constraints_of_all_is_taken():
    several = [package("tool", "1.0"), package("tool", "2.0"), package("tool", "3.0"), package("tool", "9", "arm64")]
    other = plugin("other", NodePackages(roles=["*"], packages=[Package("tool", "<3")]))
    plan = make_plan(given(store(*several), other))
    assert [item.version for item in plan.packages] == ["2.0"]
    arm = make_plan(given(store(*several), architecture="aarch64"))
    assert [item.version for item in arm.packages] == ["9"]


def test_constraints_that_the_repository_cannot_keep_are_refused():
    other = plugin("other", NodePackages(roles=["*"], packages=[Package("tool", ">=5")]))
    with pytest.raises(PlanningError, match="K002") as caught:
        make_plan(given(store(), other))
    assert "1:2.0-3 of plugin store" in str(caught.value)


def test_a_package_of_another_plugin_is_installed_from_the_repository_too():
    other = plugin("another", NodePackages(roles=["*"], packages=["tool", "vim"]))
    plan = make_plan(given(store(), other))
    action = action_of(plan, "another.packages")
    assert {item.name: item.version for item in action.install} == {"tool": "1:2.0-3", "vim": ""}
    assert action.repositories == ["stoker-store"]
    assert order(plan, "n1").index("store.repository") < order(plan, "n1").index("another.packages")


def test_a_task_that_installs_packages_uses_the_repository():
    part = plugin(
        "store",
        Repository(path="repository", packages=[package("tool", "1")]),
        tasks.Packages(id="tools", roles=["*"], packages=["tool"], phase="install"),
    )
    plan = make_plan(given(part))
    assert order(plan, "n1") == ["store.repository", "store.tools"]
    assert action_of(plan, "store.tools").repositories == ["stoker-store"]


def test_one_version_with_two_contents_is_refused_when_plugins_are_enabled():
    one, two = store(package("tool", "1")), store(package("tool", "1", sha256="1" * 64), name="second")
    assert [finding.rule for finding in check_plugins([one, two])] == ["K003"]
    assert [finding.rule for finding in check_plugins([one, store(package("tool", "1"), name="second")])] == []
    with pytest.raises(PlanningError, match="K003"):
        make_plan(given(one, two))


def test_a_plugin_that_goes_takes_its_packages_and_its_repository_along():
    before = given(store())
    done = carried_out(before, make_plan(before))
    leaving = store(removing=True)
    plan = make_plan(msgspec.structs.replace(done, plugins=[leaving]))
    assert [(item.name, item.status) for item in plan.packages] == [("tool", "remove")]
    assert {file.path for file in plan.files} == {KEY, PREFERENCES, SOURCE}
    assert not any(file.content >= 0 for file in plan.files)


def test_red_hat_nodes_get_a_source_with_both_signatures_checked():
    rpm = RepositoryPackage(name="tool", version="0:1.0-1", architecture="x86_64", file="tool.rpm", sha256="0" * 64)
    part = plugin(
        "store",
        Repository(path="rpm", os_family="redhat", packages=[rpm]),
        NodePackages(roles=["*"], packages=["tool"], os_family="redhat"),
    )
    facts = Facts(os_family="redhat", architecture="x86_64")
    plan = make_plan(given(part, nodes=[node("n1", facts=facts)]))
    text = text_of(plan, "n1", "/etc/yum.repos.d/stoker-store.repo")
    assert "gpgcheck=1\nrepo_gpgcheck=1\n" in text
    assert "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-stoker-store\nincludepkgs=tool\n" in text
    assert "enabled=0\n" in text
    assert plan.packages[0].version == "0:1.0-1"


def test_without_a_key_no_repository_is_planned():
    plan = make_plan(given(store(), access=None))
    assert order(plan, "n1") == ["store.packages"]
    assert plan.packages[0].version == ""


def test_nodes_that_were_never_seen_have_no_architecture_and_take_what_runs_everywhere():
    plan = make_plan(given(store(package("tool", "1", "amd64"), package("tool", "2")), architecture=""))
    assert plan.packages[0].version == "2"
    assert make_plan(given(store(package("tool", "1", "amd64")), architecture="")).packages[0].version == ""
