# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Time for every node: chrony, with one or more nodes that serve the others."""

from __future__ import annotations

from typing import Final

from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.extension_points import components, config_files, health_checks, node_packages, roles, settings, tasks
from stoker_sdk.model.contribution import Contribution

from stoker_plugin_ntp.time_settings import TimeSettings

SERVER: Final = "ntp-server"
CLIENT: Final = "ntp-client"
BOTH: Final = (SERVER, CLIENT)
CONFIG: Final = "/etc/chrony/chrony.conf"

_POLL: Final = "' iburst minpoll ' + string(settings.minpoll) + ' maxpoll ' + string(settings.maxpoll)"

# `chronyc -c` writes comma-separated values: in `tracking` the third is the stratum (0: not synchronised), in
# `sources` the sixth is the reach register (0: no source has answered lately).
_SERVES: Final = "chronyc -c -n tracking | awk -F, '$3 > 0 && $3 < 16 { ok = 1 } END { exit !ok }'"
_ANSWERS: Final = "chronyc -c -n sources | awk -F, '$6 > 0 { ok = 1 } END { exit !ok }'"


def _option(key: str, value: str | bool) -> config_files.Option:
    return config_files.Option(path=CONFIG, roles=BOTH, key=key, value=value)


_ROLES: Final[tuple[Contribution, ...]] = (
    roles.Role(name=SERVER, title="Time server", description="Serves time to the environment's other nodes.", min=1),
    roles.Role(
        name=CLIENT,
        title="Time client",
        description="Takes its time from the environment's time servers.",
        conflicts=(SERVER,),
        tolerance="10%",
    ),
)

_CONFIGURATION: Final[tuple[Contribution, ...]] = (
    config_files.ConfigFile(path=CONFIG, roles=BOTH, format="plain"),
    config_files.ListItem(path=CONFIG, roles=(SERVER,), key="server", items=ref(f"settings.servers.map(s, s + {_POLL})")),
    config_files.ListItem(
        path=CONFIG, roles=(CLIENT,), key="server", items=ref(f"by_role['{SERVER}'].map(n, n.address + {_POLL})")
    ),
    config_files.ListItem(path=CONFIG, roles=(SERVER,), key="allow", items=ref.settings.allow),
    config_files.Option(
        path=CONFIG,
        roles=(SERVER,),
        key="local",
        value="stratum " + ref("string(settings.stratum)"),
        when="size(settings.servers) == 0",
    ),
    _option("driftfile", "/var/lib/chrony/chrony.drift"),
    _option("keyfile", "/etc/chrony/chrony.keys"),
    _option("logdir", "/var/log/chrony"),
    _option("makestep", "1 3"),
    _option("rtcsync", True),
)

_SERVICES: Final[tuple[Contribution, ...]] = (
    tasks.Service(
        name="chrony",
        title="chrony on the time servers",
        roles=(SERVER,),
        restart_on=(f"file:{CONFIG}", "package:chrony"),
    ),
    tasks.Service(
        id="service.chrony-client",
        name="chrony",
        title="chrony on the other nodes, after the time servers",
        roles=(CLIENT,),
        after=(Dependency("service.chrony", role=SERVER),),
        restart_on=(f"file:{CONFIG}", "package:chrony"),
    ),
)

_CHECKS: Final[tuple[Contribution, ...]] = (
    health_checks.HealthCheck(
        id="serves",
        title="The time server has a time to serve",
        roles=(SERVER,),
        run=_SERVES,
        timeout=15,
        retries=15,
        retry_interval=2.0,
    ),
    health_checks.HealthCheck(
        id="source-answers",
        title="A time source answers",
        roles=(CLIENT,),
        run=_ANSWERS,
        timeout=15,
        retries=15,
        retry_interval=2.0,
    ),
)

_CHOICE: Final[tuple[Contribution, ...]] = (
    components.Group(name="time", title="Time", description="Where the nodes take their time from."),
    components.Component(
        name="time:ntp",
        title="Time servers of the environment's own",
        description="chrony on every node; some nodes serve the others.",
        default=True,
    ),
)

plugin = Plugin(
    name="ntp",
    version="1.0.0",
    title="Time for every node",
    description="Installs chrony. Nodes with the role `ntp-server` serve time, nodes with `ntp-client` take it from them.",
    license="Apache-2.0",
    contributions=(
        settings.Settings.from_model(TimeSettings),
        *_CHOICE,
        *_ROLES,
        node_packages.NodePackages(roles=BOTH, packages=("chrony",)),
        *_CONFIGURATION,
        *_SERVICES,
        *_CHECKS,
    ),
)
