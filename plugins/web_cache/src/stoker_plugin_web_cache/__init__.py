# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A cache in front of a web cluster, added from outside: a service of its own, and a way through it in the balancer's file."""

from __future__ import annotations

from typing import Final

from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.extension_points import config_files, health_checks, roles, services, settings, task_patches
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.expression import Scalar, Value

from stoker_plugin_web_cache.cache_settings import CacheSettings

CACHE: Final = "cache"
WEB: Final = "web"
BALANCER: Final = "balancer"
SITE: Final = "/etc/nginx/conf.d/web-cache.conf"
ORIGIN: Final = "frontend origin"
BACKEND: Final = "backend cache"

_SERVERS: Final = f"by_service['{CACHE}'].map(n, n.name + ' ' + n.address + ':' + string(settings.port) + ' check')"

# The caches ask the balancers, and those the web servers: a web server more or less is no matter of the caches'. While
# nobody answers, an old page is better than none.
_UPSTREAM: Final = (
    f"['upstream origin {{'] + by_service['{BALANCER}'].map(n, '    server ' + n.address + ':' + string(settings.origin_port)"
    " + ' max_fails=0;') + ['    keepalive 8;', '}']"
)
_SITE_TEXT: Final = (
    "['proxy_cache_path /var/lib/nginx/web-cache keys_zone=web_cache:1m max_size=' + string(settings.megabytes) + 'm;']"
    f" + {_UPSTREAM} + ['server {{', '    listen ' + string(settings.port) + ';',"
    " '    location = /cache-alive { access_log off; return 204; }', '    location / {',"
    " '        proxy_pass http://origin;', '        proxy_http_version 1.1;', '        proxy_set_header Connection \"\";',"
    " '        proxy_next_upstream error timeout invalid_header http_502 http_503 http_504;', '        proxy_cache web_cache;',"
    " '        proxy_cache_valid 200 ' + string(settings.seconds) + 's;',"
    " '        proxy_cache_use_stale error timeout http_502 http_503 http_504;', '        proxy_cache_lock on;',"
    " '        add_header X-Cache $upstream_cache_status always;', '    }', '}']"
)


def _option(section: str, key: str, value: Scalar | Value) -> Contribution:
    return config_files.Option(service=BALANCER, section=section, key=key, value=value)


def _items(section: str, key: str, items: Value) -> Contribution:
    return config_files.ListItem(service=BALANCER, section=section, key=key, items=items)


_WAY_THROUGH: Final[tuple[Contribution, ...]] = (
    # What comes from a client goes to a cache while one is well; else to the web servers, as it was before.
    _items("frontend page", "use_backend", "cache if { nbsrv(cache) gt 0 }"),
    _items(BACKEND, "option", "httpchk GET /cache-alive"),
    # The first request that a cache refuses takes it out, and goes the way that caches take themselves.
    _option(BACKEND, "default-server", "inter 1s fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down"),
    _items(BACKEND, "server", ref(_SERVERS)),
    _items(BACKEND, "server", "origin 127.0.0.1:" + ref("string(settings.origin_port)") + " backup"),
    _items(ORIGIN, "bind", ":" + ref("string(settings.origin_port)")),
    _items(ORIGIN, "http-request", "disable-l7-retry unless METH_GET"),
    _option(ORIGIN, "default_backend", "web"),
)

plugin = Plugin(
    name="web-cache",
    version="1.0.0",
    title="A cache in front of a web cluster",
    description="Nodes with the role `cache` keep the pages of `web-cluster` for some seconds.",
    releases=("web-cluster>=1,<2",),
    requires_plugins=("web-cluster>=1,<2",),
    license="Apache-2.0",
    contributions=(
        settings.Settings.from_model(CacheSettings),
        roles.Role(
            name=CACHE,
            title="Cache",
            description="Keeps pages for some seconds, so that the web servers are asked less.",
            recommended=1,
            conflicts=(WEB, BALANCER),
            tolerance="100%",
        ),
        services.Service(
            name=CACHE,
            title="Cache",
            roles=(CACHE,),
            packages=("nginx-light", "curl"),
            units=("nginx",),
            on_change="reload",
            ready='curl -fsS --max-time 2 -o /dev/null "http://127.0.0.1:$PORT/cache-alive"',
            environment={"PORT": ref("string(settings.port)")},
            timeout=90,
        ),
        config_files.WholeFile(service=CACHE, path=SITE, content=ref(_SITE_TEXT)),
        *_WAY_THROUGH,
        task_patches.TaskPatch(
            task="web-cluster.service.haproxy",
            extend=task_patches.Extend(after=(Dependency("service.nginx", role=CACHE),)),
            reason="Nothing is sent to a cache that is not there yet.",
        ),
        health_checks.HealthCheck(
            id="passes-pages-on",
            title="The cache gets the page from the balancers",
            roles=(CACHE,),
            run='curl -fsS --max-time 5 -o /dev/null "http://127.0.0.1:$PORT/"',
            environment={"PORT": ref("string(settings.port)")},
            timeout=15,
            retries=15,
            retry_interval=1.0,
        ),
    ),
)
