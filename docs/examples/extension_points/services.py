from stoker_sdk import Plugin
from stoker_sdk.extension_points import config_files, roles, services

plugin = Plugin(
    name="cache",
    version="1.0.0",
    title="A cache that other plugins can tune",
    contributions=[
        roles.Role(name="cache"),
        services.Service(
            name="cache",
            roles=["cache"],
            packages=["redis-server"],
            units=["redis-server"],
            files=[services.ServiceFile(path="/etc/redis/redis.conf", format="plain", group="redis", mode="0640")],
            concurrency=1,
            ready="redis-cli ping | grep -q PONG",
        ),
        config_files.Option(service="cache", key="maxmemory", value="256mb", level="default"),
        config_files.Option(service="cache", key="maxmemory-policy", value="allkeys-lru"),
    ],
)
