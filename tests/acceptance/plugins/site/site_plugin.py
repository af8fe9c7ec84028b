# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin of the acceptance suite: packages, merged and whole files, a secret, commands in order, a service, removal."""

import pydantic
from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.extension_points import config_files, health_checks, node_packages, roles, settings, tasks

CONF = "/etc/site/site.conf"
BANNER = "/etc/site/banner"
SECRET = "/etc/site/secret"
UNIT = "/etc/systemd/system/site.service"
ORDER = "/var/log/site-order"


class SiteSettings(pydantic.BaseModel):
    greeting: str = settings.field("hello", title="Greeting")
    password: str = settings.field(title="Password", secret=True, generator="password")


def stamp(word):
    # appends, so that a second run would be seen
    return f"date +'{word} %s.%N' >>{ORDER}"


plugin = Plugin(
    name="site",
    version="1.0.0",
    title="A site with all that a plugin can bring",
    contributions=[
        settings.Settings.from_model(SiteSettings),
        roles.Role(name="first", min=1),
        roles.Role(name="second", min=1),
        node_packages.NodePackages(roles=["first", "second"], packages=["figlet"]),
        node_packages.NodePackages(roles=["second"], packages=["tree"]),
        config_files.ConfigFile(path=CONF, roles=["first", "second"], format="ini", mode="0640"),
        config_files.Option(path=CONF, roles=["first", "second"], section="site", key="greeting", value=ref.settings.greeting),
        config_files.Option(path=CONF, roles=["second"], section="site", key="role", value="second"),
        config_files.ListItem(
            path=CONF, roles=["first", "second"], section="site", key="peers", items=ref("nodes.map(n, n.name)")
        ),
        config_files.WholeFile(path=BANNER, roles=["first", "second"], template="templates/banner.j2"),
        config_files.WholeFile(path=SECRET, roles=["second"], content=ref.settings.password, mode="0600"),
        config_files.WholeFile(
            path=UNIT,
            roles=["second"],
            content="[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
        ),
        tasks.Service(name="site", roles=["second"], restart_on=[f"file:{CONF}"]),
        tasks.Shell(id="one", roles=["first"], run=stamp("one"), phase="configure"),
        tasks.Shell(id="two", roles=["second"], run=stamp("two"), after=[Dependency("one", role="first")]),
        tasks.Shell(id="three", roles=["first"], run=stamp("three"), after=[Dependency("two", role="second")]),
        tasks.Shell(
            id="login",
            roles=["second"],
            phase="verify",
            run='test "${#PASSWORD}" -ge 8 && echo "the password is $PASSWORD"',
            environment={"PASSWORD": ref.settings.password},
        ),
        tasks.Shell(id="farewell", roles=["second"], on="remove", run="touch /root/site-removed"),
        health_checks.HealthCheck(id="up", roles=["second"], run="systemctl is-active site"),
    ],
)
