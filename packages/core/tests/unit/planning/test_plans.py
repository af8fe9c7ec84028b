# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans: what runs where and why, drift, removal, secrets; and that nothing but the members counts."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import MARKER, carried_out, file_of, node, order, plugin, running, snapshot, text_of
from stoker.domain.action import FilesAction, PackagesAction, ServiceAction
from stoker.domain.node import Facts, Observation, ObservedFile, ObservedService
from stoker.domain.snapshot import Applied, AppliedPackage, NodeInput, PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.orchestration.scheduler import Scheduler
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk import Dependency, ref
from stoker_sdk.extension_points import config_files, health_checks, node_packages, roles, tasks

CONF = "/etc/web.conf"


def web(**more: object) -> PluginInput:
    return plugin(
        "web",
        roles.Role(name="web", min=1, tolerance="50%"),
        node_packages.NodePackages(roles=["web"], packages=["httpd"]),
        config_files.ConfigFile(path=CONF, roles=["web"], format="ini"),
        config_files.Option(path=CONF, roles=["web"], section="main", key="listen", value=ref.node.address),
        config_files.Option(path=CONF, roles=["web"], section="main", key="workers", value=ref.settings.workers),
        tasks.Service(name="httpd", roles=["web"], restart_on=[f"file:{CONF}", "package:httpd"]),
        tasks.Shell(id="seed", roles=["web"], run="seed", phase="prepare"),
        health_checks.HealthCheck(id="answers", roles=["web"], run="probe"),
        **{"settings": {"workers": 4}, **more},
    )


def deployed(plugins: list[PluginInput], nodes: list[NodeInput]) -> Snapshot:
    first = snapshot(plugins, nodes)
    return carried_out(first, make_plan(first))


def with_node(given: Snapshot, name: str, **changes: object) -> Snapshot:
    nodes = [msgspec.structs.replace(item, **changes) if item.name == name else item for item in given.nodes]
    return msgspec.structs.replace(given, nodes=nodes)


def observed(given: Snapshot, name: str) -> Observation:
    return next(item.observed for item in given.nodes if item.name == name)


def test_first_plan_runs_everything_in_the_order_of_anchors() -> None:
    plan = make_plan(snapshot([web()], [node("a", "web")]))
    assert order(plan, "a") == ["web.seed", "web.packages", "web.files", "web.service.httpd", "web.check.answers"]
    assert set(running(plan).values()) == {"new", "check"}
    assert text_of(plan, "a", CONF).endswith("[main]\nlisten = a.example\nworkers = 4\n")
    content = plan.contents[file_of(plan, "a", CONF).content]
    assert len(content.lines) == len(str(content.text).splitlines())
    last = plan.origins[content.lines[-1][0]]
    assert (last.plugin, last.settings, last.expression) == ("web", ["workers"], "settings.workers")


def test_second_plan_changes_nothing_and_runs_nothing() -> None:
    plan = make_plan(deployed([web()], [node("a", "web"), node("b", "web")]))
    assert running(plan) == {}
    assert {file.status for file in plan.files} == {"same"}


def test_a_setting_changes_one_line_and_what_depends_on_it() -> None:
    after = deployed([web()], [node("a", "web")])
    plan = make_plan(msgspec.structs.replace(after, plugins=[web(settings={"workers": 5})]))
    assert running(plan) == {
        ("a", "web.files"): "inputs",
        ("a", "web.service.httpd"): "triggered",
        ("a", "web.check.answers"): "check",
    }
    file = file_of(plan, "a", CONF)
    assert file.status == "change"
    assert "workers = 4" in plan.befores[file.before]
    service = next(plan.actions[i.action] for i in plan.instances if plan.tasks[i.task].kind == "service")
    assert service == ServiceAction(name="httpd", restart="restart")


def test_exactly_what_was_changed_by_hand_is_drift() -> None:
    after = deployed([web()], [node("a", "web"), node("b", "web"), node("c", "web"), node("d", "web")])
    a, b, c = (observed(after, name) for name in "abc")
    edited = ObservedFile("file", "f" * 64, "root", "root", "0644", "mine\n")
    after = with_node(after, "a", observed=msgspec.structs.replace(a, files={CONF: edited}))
    after = with_node(after, "b", observed=msgspec.structs.replace(b, packages={}))
    after = with_node(
        after, "c", observed=msgspec.structs.replace(c, services={"httpd": ObservedService(active=False, enabled=True)})
    )
    plan = make_plan(after)
    drift = {place for place, reason in running(plan).items() if reason == "drift"}
    assert drift == {("a", "web.files"), ("b", "web.packages"), ("c", "web.service.httpd")}
    assert [(plan.nodes[f.node].name, f.status) for f in plan.files if f.status != "same"] == [("a", "drift")]
    assert [(plan.nodes[p.node].name, p.status) for p in plan.packages if p.status != "same"] == [("b", "drift")]
    assert not [place for place in running(plan) if place[0] == "d"]
    assert not [place for place in running(plan) if place[1] == "web.seed"]


def test_a_lost_row_of_a_service_restarts_it() -> None:
    after = deployed([web()], [node("a", "web")])
    applied = after.nodes[0].applied
    rows = {name: inputs for name, inputs in applied.tasks.items() if name != "web.service.httpd"}
    plan = make_plan(with_node(after, "a", applied=msgspec.structs.replace(applied, tasks=rows)))
    assert running(plan) == {("a", "web.service.httpd"): "new", ("a", "web.check.answers"): "check"}
    assert ServiceAction(name="httpd", restart="restart") in plan.actions


def test_a_disabled_plugin_is_undone_and_the_rest_stays() -> None:
    base = plugin("base", node_packages.NodePackages(roles=["*"], packages=["httpd"]))
    forget = tasks.Shell(id="forget", roles=["web"], on="remove", run="forget", after=["files"])
    full = msgspec.structs.replace(web(), contributions=[*web().contributions, msgspec.to_builtins(forget)])
    after = deployed([base, full], [node("a", "web")])
    plan = make_plan(msgspec.structs.replace(after, plugins=[base, msgspec.structs.replace(full, removing=True)]))
    assert plan.remove_plugins == ["web"]
    assert order(plan, "a")[:4] == ["web.forget", "web.remove.service.httpd", "web.remove.files", "web.remove.packages"]
    actions = {plan.tasks[i.task].name: plan.actions[i.action] for i in plan.instances}
    assert actions["web.remove.service.httpd"] == ServiceAction(name="httpd", state="stopped", enabled=False)
    removal = actions["web.remove.files"]
    assert isinstance(removal, FilesAction)
    assert [(item.path, item.change) for item in removal.files] == [(CONF, "restore")]
    assert actions["web.remove.packages"] == PackagesAction(remove=[])
    assert ("httpd", "keep") in [(item.name, item.status) for item in plan.packages]


def test_what_was_there_before_is_not_removed_and_what_was_brought_is() -> None:
    there = Observation(packages={"httpd": "2.4"})
    after = deployed([web()], [node("a", "web", observed=there), node("b", "web")])
    plan = make_plan(msgspec.structs.replace(after, plugins=[web(removing=True)]))
    fates = {plan.nodes[item.node].name: item.status for item in plan.packages}
    assert fates == {"a": "keep", "b": "remove"}
    assert "seed" in plan.warnings[0]


@pytest.mark.parametrize(
    ("installed", "applied", "status"),
    [("", False, "install"), ("9.1-1", False, "install"), ("9.1-1", True, "drift"), ("99-1", True, "same"), ("", True, "drift")],
)
def test_a_package_that_does_not_fit_its_constraint_is_not_the_same(installed: str, applied: bool, status: str) -> None:
    wanted = plugin("wants", node_packages.NodePackages(roles=["*"], packages=[node_packages.Package("tool", ">=99")]))
    there = Observation(packages={"tool": installed} if installed else {})
    rows = Applied(packages={"tool": AppliedPackage(["wants"])}) if applied else Applied()
    plan = make_plan(snapshot([wanted], [node("a", observed=there, applied=rows)]))
    assert [(item.status, item.installed) for item in plan.packages] == [(status, installed)]


def test_a_node_that_leaves_is_cleaned_and_others_are_left_alone() -> None:
    after = deployed([web()], [node("a", "web"), node("b", "web")])
    plan = make_plan(with_node(after, "b", removing=True))
    assert {place[0] for place in running(plan)} == {"b"}
    assert set(running(plan).values()) == {"remove"}


def test_secrets_keep_their_places_and_their_version_counts() -> None:
    def secret(version: int) -> PluginInput:
        return plugin(
            "vault",
            config_files.WholeFile(path="/etc/key", content="key=" + ref.settings.key + "\n", mode="0600"),
            tasks.Shell(id="use", roles=["*"], run="use", environment={"KEY": ref.settings.key}),
            settings={"key": {"$secret": "key", "version": version}},
        )

    after = deployed([secret(1)], [node("a")])
    plan = make_plan(after)
    assert running(plan) == {}
    assert text_of(plan, "a", "/etc/key") == "key=<secret vault.key v1>\n"
    second = make_plan(msgspec.structs.replace(after, plugins=[secret(2)]))
    assert running(second) == {("a", "vault.files"): "inputs", ("a", "vault.use"): "inputs"}
    edited = make_plan(msgspec.structs.replace(after, secret_hashes={"a /etc/key": "another"}))
    assert running(edited) == {("a", "vault.files"): "drift"}
    assert file_of(edited, "a", "/etc/key").before == -1


def test_the_public_part_of_a_pair_is_an_ordinary_value() -> None:
    pair = plugin(
        "keys",
        config_files.WholeFile(path="/etc/pub", content=ref.public.key.public_key + "\n"),
        settings={"key": {"$secret": "key", "version": 1}},
        public={"key": {"public_key": "ssh-ed25519 AAAA"}},
    )
    assert text_of(make_plan(snapshot([pair], [node("a")])), "a", "/etc/pub") == "ssh-ed25519 AAAA\n"
    with pytest.raises(PlanningError, match=r"no setting has the public part 'key\.public_key'"):
        make_plan(snapshot([msgspec.structs.replace(pair, public={})], [node("a")]))


def test_a_secret_that_every_user_may_read_is_a_warning() -> None:
    def keys(mode: str) -> PluginInput:
        file = config_files.WholeFile(path="/etc/key", content="key=" + ref.settings.key + "\n", mode=mode)
        return plugin("keys", file, settings={"key": {"$secret": "key", "version": 1}})

    (warning,) = make_plan(snapshot([keys("0644")], [node("a")])).warnings
    assert warning.startswith("/etc/key holds a secret")
    assert make_plan(snapshot([keys("0640")], [node("a")])).warnings == []


def test_a_plugin_cannot_name_the_secret_of_another() -> None:
    owner = plugin("owner", settings={"key": {"$secret": "key", "version": 1}})
    # All that a plugin sees of its own secret, turned against the other plugin in every way that a template has.
    change = "{{ settings.mine | replace('thief', 'owner') | replace('mine', 'key') }}\n"

    def thief(template: str) -> PluginInput:
        return plugin(
            "thief",
            config_files.WholeFile(path="/etc/loot", template="t.j2"),
            settings={"mine": {"$secret": "mine", "version": 1}},
            templates={"t.j2": template},
        )

    with pytest.raises(PlanningError, match="planning does not know"):
        make_plan(snapshot([owner, thief(change)], [node("a")]))
    plan = make_plan(snapshot([owner, thief("{{ settings.mine }} {{ settings.mine | string }}\n")], [node("a")]))
    assert "owner" not in text_of(plan, "a", "/etc/loot")
    assert MARKER not in msgspec.json.encode(plan).decode()
    assert text_of(plan, "a", "/etc/loot").count("<secret thief.mine v1>") >= 1


def test_a_conflict_of_secrets_names_them_and_shows_no_marker() -> None:
    def wants(name: str) -> PluginInput:
        return plugin(
            name,
            config_files.ConfigFile(path="/etc/y", format="ini"),
            config_files.Option(path="/etc/y", key="password", value=ref.settings.key),
            settings={"key": {"$secret": "key", "version": 3}},
        )

    both = [wants("one"), wants("two")]
    with pytest.raises(PlanningError) as refused:
        make_plan(snapshot(both, [node("a")]))
    for message in (str(refused.value), " ".join(finding.message for finding in check_plugins(both))):
        assert "<secret one.key v3>" in message
        assert "<secret two.key v3>" in message
        assert "__secret" not in message


def test_a_secret_in_yaml_stays_a_text() -> None:
    keep = plugin(
        "keep",
        config_files.ConfigFile(path="/etc/y", format="yaml"),
        config_files.Option(path="/etc/y", key="password", value=ref.settings.key),
        settings={"key": {"$secret": "key", "version": 3}},
    )
    plan = make_plan(snapshot([keep], [node("a")]))
    assert text_of(plan, "a", "/etc/y").endswith('password: "<secret keep.key v3>"\n')


def test_a_secret_is_no_argument() -> None:
    script = tasks.Script(id="s", roles=["*"], source="s.sh", arguments=[ref.settings.key])
    bad = plugin("vault", script, settings={"key": {"$secret": "key", "version": 1}}, blobs={"s.sh": "0"})
    with pytest.raises(PlanningError, match="argument"):
        make_plan(snapshot([bad], [node("a")]))


def test_across_nodes_one_barrier_stands_for_all_edges() -> None:
    later = Dependency("first", role="db")
    ordered = plugin(
        "ordered",
        roles.Role(name="db"),
        roles.Role(name="app"),
        tasks.Shell(id="first", roles=["db"], run="1"),
        tasks.Shell(id="second", roles=["app"], run="2", after=[later]),
        tasks.Shell(id="third", roles=["app"], run="3", after=[later, "second"]),
    )
    nodes = [node(f"d{i}", "db") for i in range(5)] + [node(f"a{i}", "app") for i in range(7)]
    plan = make_plan(snapshot([ordered], nodes))
    assert len(plan.barriers) == 1
    assert [plan.nodes[i].name for i in plan.groups[plan.barriers[0].group]] == [f"d{i}" for i in range(5)]
    assert [task.barriers for task in plan.tasks] == [[], [0], [0]]


def test_before_holds_the_named_task_back_on_the_nodes_of_a_role() -> None:
    held = plugin(
        "held",
        roles.Role(name="ctl"),
        roles.Role(name="cmp"),
        tasks.Shell(id="f", roles=["cmp"], run="f", before=[Dependency("g", role="ctl")]),
        tasks.Shell(id="g", roles=["ctl", "cmp"], run="g"),
    )
    plan = make_plan(snapshot([held], [node("c", "ctl"), node("x", "cmp"), node("y", "cmp")]))
    (barrier,) = plan.barriers
    assert [plan.nodes[i].name for i in plan.groups[barrier.group]] == ["x", "y"]
    assert [plan.nodes[i].name for i in plan.groups[barrier.holds]] == ["c"]
    assert {task.name: task.barriers for task in plan.tasks} == {"held.f": [], "held.g": [0]}
    schedule = Scheduler(plan)
    taken = [schedule.take(number) for number in range(3)]
    started = [plan.tasks[plan.instances[number].task].name for number in taken if number is not None]
    assert started == ["held.f", "held.f"]
    for number in taken:
        if number is not None:
            schedule.finish(number)
    assert schedule.take(0) is not None


def test_conditions_count_on_each_node() -> None:
    some = plugin(
        "some",
        config_files.ConfigFile(path="/etc/s", format="plain"),
        config_files.Option(path="/etc/s", key="big", value=True, when="node.facts.cpus > 4"),
        config_files.Option(path="/etc/s", key="name", value=ref.node.name),
        tasks.Shell(id="only-a", roles=["*"], run="x", when="node.name == 'a'"),
    )
    nodes = [node("a", facts=Facts(cpus=8)), node("b", facts=Facts(cpus=2))]
    plan = make_plan(snapshot([some], nodes))
    assert "big\n" in text_of(plan, "a", "/etc/s")
    assert "big\n" not in text_of(plan, "b", "/etc/s")
    assert [place for place in running(plan) if place[1] == "some.only-a"] == [("a", "some.only-a")]


def test_limits_of_roles_refuse_a_plan() -> None:
    few = plugin("few", roles.Role(name="one", min=1, max=1, conflicts=["two"]), roles.Role(name="two", recommended=3))
    with pytest.raises(PlanningError) as caught:
        make_plan(snapshot([few], [node("a", "one", "two"), node("b", "one")]))
    assert {finding.rule for finding in caught.value.data["findings"]} == {"R004", "R006"}


def test_faults_of_several_plugins_are_told_together() -> None:
    one = plugin("one", tasks.Shell(id="x", roles=["*"], run="x", environment={"A": ref("node.facts.nothing")}))
    two = plugin("two", tasks.Shell(id="y", roles=["*"], run="y", after=["nowhere"], when="1 +"))
    with pytest.raises(PlanningError) as caught:
        make_plan(snapshot([one, two], [node("a")]))
    assert {finding.plugin for finding in caught.value.data["findings"]} == {"one", "two"}


_KEYS = st.sampled_from(["a", "b", "c"])
_ENTRY = st.one_of(
    st.builds(config_files.Option, path=st.just(CONF), key=_KEYS, value=st.sampled_from(["1", "2", ref.node.name])),
    st.builds(config_files.Option, path=st.just(CONF), key=_KEYS, value=st.sampled_from(["0", "9"]), level=st.just("default")),
    st.builds(
        config_files.ListItem,
        path=st.just(CONF),
        key=st.sampled_from(["l", "m"]),
        items=st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=3, unique=True),
        weight=st.integers(-2, 2),
        before=st.lists(st.sampled_from("uvwxyz"), max_size=1),
    ),
)
_TASK = st.builds(
    tasks.Shell,
    id=st.sampled_from(["p", "q", "r"]),
    roles=st.just(["*"]),
    run=st.sampled_from(["x", "y"]),
    phase=st.sampled_from(["prepare", "configure", "start"]),
)


_PLUGIN = st.builds(
    lambda name, own, entries: plugin(name, config_files.ConfigFile(path=CONF, format="ini"), *entries, *own),
    st.sampled_from(["one", "two", "three"]),
    st.lists(_TASK, max_size=3, unique_by=lambda task: task.id),
    st.lists(_ENTRY, max_size=4),
)
_PLUGINS = st.lists(_PLUGIN, min_size=2, max_size=3, unique_by=lambda item: item.name)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_PLUGINS, st.randoms(use_true_random=False))
def test_the_order_of_enabling_changes_no_byte(plugins: list[PluginInput], chance: random.Random) -> None:
    nodes = [node("n1"), node("n2")]

    def outcome(given_plugins: list[PluginInput], given_nodes: list[NodeInput]) -> bytes | list[str]:
        try:
            return msgspec.json.encode(make_plan(snapshot(given_plugins, given_nodes)))
        except PlanningError as error:
            return sorted(str(finding) for finding in error.data["findings"])

    first = outcome(plugins, nodes)
    shuffled = list(plugins)
    chance.shuffle(shuffled)
    assert outcome(shuffled, nodes[::-1]) == first


def test_a_node_that_cannot_be_looked_at_is_left_out_within_the_tolerance() -> None:
    nodes = [node("a", "web"), node("b", "web"), node("c", "web", left_out="no route to host.")]
    plan = make_plan(snapshot([web()], nodes, roles={"web": 1}))
    assert {place[0] for place in running(plan)} == {"a", "b"}
    assert [item.left_out for item in plan.nodes] == ["", "", "no route to host."]
    assert plan.warnings == ["node c is left out of this plan: no route to host."]
    with pytest.raises(PlanningError, match=r"node c cannot be looked at: no route to host") as refused:
        make_plan(snapshot([web()], nodes, roles={"web": 0}))
    assert [finding.rule for finding in refused.value.data["findings"]] == ["U001"]
