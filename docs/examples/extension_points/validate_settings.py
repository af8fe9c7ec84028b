from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import combinations

from stoker_sdk import Plugin
from stoker_sdk.context import Problem
from stoker_sdk.extension_points import settings, validate_settings
from stoker_sdk.model.code import code
from stoker_sdk.model.json_value import JSON

NETWORKS = {
    "type": "object",
    "properties": {"networks": {"type": "array", "items": {"type": "string"}, "default": ["192.0.2.0/24"]}},
}


def overlaps(settings: Mapping[str, JSON]) -> Sequence[Problem]:
    """Networks must not overlap, which no schema can say."""
    return list(_problems([str(text) for text in settings["networks"]]))  # type: ignore[union-attr]  # the schema says so


def _problems(texts: Sequence[str]) -> Iterator[Problem]:
    networks = []
    for index, text in enumerate(texts):
        try:
            networks.append((index, ip_network(text)))
        except ValueError as error:
            yield Problem(field=f"networks[{index}]", message=f"{error}.", remedy="Write e.g. 192.0.2.0/24.")
    for (_, first), (index, second) in combinations(networks, 2):
        if first.version == second.version and first.overlaps(second):
            yield Problem(field=f"networks[{index}]", message=f"{second} overlaps {first}.", remedy="Keep them apart.")


plugin = Plugin(
    name="networks",
    version="1.0.0",
    title="Networks that do not overlap",
    contributions=[
        settings.Settings(json_schema=NETWORKS),
        validate_settings.ValidateSettings(call=code(overlaps)),
    ],
)
