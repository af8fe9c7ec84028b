# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A web site on several servers behind a balancer: haproxy and nginx, as a release that other plugins extend."""

from __future__ import annotations

from typing import Final

from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.extension_points import config_files, health_checks, releases, roles, services, settings, tasks
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.expression import Scalar, Value

from stoker_plugin_web_cluster.site_settings import SiteSettings

BALANCER: Final = "balancer"
WEB: Final = "web"
FRONTEND: Final = "frontend page"
BACKEND: Final = "backend web"
CONFIG: Final = "/etc/haproxy/haproxy.cfg"
SITE: Final = "/etc/nginx/conf.d/web-cluster.conf"
PAGE: Final = "/srv/web-cluster/index.html"
STOCK_SITE: Final = "/etc/nginx/sites-enabled/default"

_SERVERS: Final = f"by_role['{WEB}'].map(n, n.name + ' ' + n.address + ':' + string(settings.web_port) + ' check')"

_SITE_TEXT: Final = (
    "'server {\\n    listen ' + string(settings.web_port) + ';\\n    root /srv/web-cluster;\\n"
    "    keepalive_timeout ' + string(settings.keepalive) + ';\\n    add_header X-Served-By ' + node.name + ';\\n"
    "    location = /alive { access_log off; return 204; }\\n}\\n'"
)
_PAGE_TEXT: Final = (
    "'<!doctype html>\\n<meta charset=\"utf-8\">\\n<title>' + settings.title + '</title>\\n<h1>' + settings.title + '</h1>\\n<p>'"
    " + settings.text + '</p>\\n'"
)

# The page that the balancer itself serves is asked for, and both lines that an operator can choose must be on it.
_PAGE_IS_RIGHT: Final = """\
page=$(curl -fsS --max-time 5 "http://127.0.0.1:$PORT/")
printf '%s\\n' "$page" | grep -qF -- "<h1>$TITLE</h1>"
printf '%s\\n' "$page" | grep -qF -- "<p>$TEXT</p>"
"""


def _default(section: str, key: str, value: Scalar | Value) -> Contribution:
    """An option that other plugins may set otherwise."""
    return config_files.Option(service=BALANCER, section=section, key=key, value=value, level="default")


def _items(section: str, key: str, items: Value) -> Contribution:
    return config_files.ListItem(service=BALANCER, section=section, key=key, items=items)


_ROLES: Final[tuple[Contribution, ...]] = (
    roles.Role(
        name=BALANCER,
        title="Balancer",
        description="Takes requests and hands each to a web server that answers.",
        min=1,
        conflicts=(WEB,),
    ),
    roles.Role(
        name=WEB, title="Web server", description="Serves the page.", min=1, recommended=2, tolerance="34%", conflicts=(BALANCER,)
    ),
)

_SERVICES: Final[tuple[Contribution, ...]] = (
    services.Service(
        name=BALANCER,
        title="Balancer",
        roles=(BALANCER,),
        packages=("haproxy", "curl"),
        units=("haproxy",),
        files=(services.ServiceFile(path=CONFIG, format="blocks", sections=("global", "defaults", FRONTEND, BACKEND)),),
        # The new process takes the listening sockets over, and the old one ends what it has begun: nobody is turned away.
        on_change="reload",
        after=(Dependency("service.nginx", role=WEB),),
    ),
    services.Service(
        name=WEB,
        title="Web server",
        roles=(WEB,),
        packages=("nginx-light", "curl"),
        units=("nginx",),
        # One by one, and the next one only when this one answers: the balancers always have somebody to ask.
        on_change="restart",
        concurrency=1,
        ready='curl -fsS --max-time 2 -o /dev/null "http://127.0.0.1:$PORT/alive"',
        environment={"PORT": ref("string(settings.web_port)")},
        timeout=90,
    ),
)

_BALANCER_FILE: Final[tuple[Contribution, ...]] = (
    _default("global", "user", "haproxy"),
    _default("global", "group", "haproxy"),
    _default("global", "maxconn", ref.settings.max_connections),
    _items("global", "log", "/dev/log local0 info"),
    _items("global", "stats", "socket /run/haproxy/admin.sock mode 600 level admin expose-fd listeners"),
    _default("defaults", "mode", "http"),
    _default("defaults", "log", "global"),
    # A request that a server refuses, or begins and breaks off, is given to the next one.
    _items("defaults", "option", ("dontlognull", "httplog", "redispatch 1")),
    _default("defaults", "retries", 3),
    _default("defaults", "retry-on", "all-retryable-errors"),
    _default("defaults", "timeout connect", "2s"),
    _default("defaults", "timeout queue", "10s"),
    _default("defaults", "timeout client", "30s"),
    _default("defaults", "timeout server", "30s"),
    _items(FRONTEND, "bind", ":" + ref("string(settings.port)")),
    # What is no question but an order is not given twice.
    _items(FRONTEND, "http-request", "disable-l7-retry unless METH_GET"),
    _default(FRONTEND, "default_backend", "web"),
    _default(BACKEND, "balance", "roundrobin"),
    _items(BACKEND, "option", "httpchk GET /alive"),
    _default(BACKEND, "default-server", "inter 1s fall 2 rise 1"),
    _items(BACKEND, "server", ref(_SERVERS)),
)

_WEB_FILES: Final[tuple[Contribution, ...]] = (
    config_files.WholeFile(service=WEB, path=SITE, content=ref(_SITE_TEXT)),
    config_files.WholeFile(path=PAGE, roles=(WEB,), content=ref(_PAGE_TEXT)),
    tasks.Files(
        id="no-stock-site",
        title="The distribution's own site is off",
        roles=(WEB,),
        phase="configure",
        files=(tasks.FileItem(path=STOCK_SITE, state="absent"),),
    ),
)

_CHECKS: Final[tuple[Contribution, ...]] = (
    health_checks.HealthCheck(
        id="page",
        title="The balancer serves the page",
        roles=(BALANCER,),
        run=_PAGE_IS_RIGHT,
        environment={
            "PORT": ref("string(settings.port)"),
            "TITLE": ref.settings.title,
            "TEXT": ref.settings.text,
        },
        timeout=15,
        retries=15,
        retry_interval=1.0,
    ),
)

plugin = Plugin(
    name="web-cluster",
    version="1.0.0",
    title="A web site on several servers behind a balancer",
    description="Nodes with the role `web` serve a page with nginx; nodes with `balancer` hand requests to them with haproxy.",
    operating_systems=("debian>=12,<13",),
    license="Apache-2.0",
    contributions=(
        releases.Release(
            name="web-cluster-debian12",
            product="web-cluster",
            version="1.0",
            title="Web cluster on Debian 12",
            description="A web site on several servers behind a balancer.",
            operating_systems=("debian>=12,<13",),
        ),
        settings.Settings.from_model(SiteSettings),
        *_ROLES,
        *_SERVICES,
        *_BALANCER_FILE,
        *_WEB_FILES,
        *_CHECKS,
    ),
)
