# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Which environment, plan, deployment or version is meant, also when a command does not say; and making a plan of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.errors import InvalidInputError, NotFoundError, StokerError

if TYPE_CHECKING:
    from stoker.client import StokerClient
    from stoker.client.documents import FindingDocument, PlanDocument

MISSING = "N001"
"""The rule of a setting that is required and not given."""


def environment(client: StokerClient, given: str | None) -> str:
    """The environment that is named (or in STOKER_ENV), else the only one."""
    if given:
        return given
    known = sorted(found["name"] for found in client.environments())
    if len(known) == 1:
        return known[0]
    if not known:
        raise InvalidInputError("there is no environment yet.", remedy="Make one with 'stoker env create NAME'.")
    raise InvalidInputError(
        f"there are {len(known)} environments ({', '.join(known[:8])}) and none is named.", remedy="Name one, or set STOKER_ENV."
    )


def plan(client: StokerClient, given: str | None, in_environment: str | None) -> str:
    """The plan that is named, else the latest of the environment."""
    if given and given != "latest":
        return given
    chosen = environment(client, in_environment)
    known = client.plans(chosen)
    if not known:
        raise NotFoundError(f"environment {chosen} has no plan yet.", remedy=f"Make one with 'stoker plan create {chosen}'.")
    return known[0]["id"]


def deployment(client: StokerClient, given: str | None, in_environment: str | None) -> str:
    """The deployment that is named, else the latest of the environment, which may be named in its place."""
    if given and given != "latest":
        if given not in {name for found in client.environments() for name in (found["name"], found["id"])}:
            return given
        in_environment = given
    chosen = environment(client, in_environment)
    known = client.deployments(chosen)
    if not known:
        raise NotFoundError(f"environment {chosen} was never deployed.", remedy=f"Deploy it with 'stoker deploy {chosen}'.")
    return known[0]["id"]


def plugin_version(given: str) -> tuple[str, str]:
    """The parts of NAME or NAME=VERSION; the version is empty if none is named."""
    name, separator, version = given.partition("=")
    if version.startswith("="):
        raise InvalidInputError(
            f"plugin {given!r}: one '=' stands between name and version.", remedy=f"Write {name}={version.lstrip('=')}."
        )
    if not name or (separator and not version):
        raise InvalidInputError(
            f"plugin {given!r} is not NAME or NAME=VERSION.", remedy=f"Write e.g. {name or 'ntp'} or {name or 'ntp'}=1.0.0."
        )
    return name, version


def new_plan(client: StokerClient, environment: str, **part: list[str]) -> PlanDocument:
    """Make a plan; settings that are missing are told with the command that gives them."""
    try:
        return client.create_plan(environment, **part)
    except StokerError as error:
        findings = error.data.get("findings") or []
        error.data["findings"] = [exact_remedy(environment, finding) for finding in findings]
        raise


def exact_remedy(environment: str, finding: FindingDocument) -> FindingDocument:
    """A finding with the command that mends it, where that is known here."""
    plugin, field = finding.get("plugin"), finding.get("field")
    if finding.get("rule") != MISSING or finding.get("contribution") != "settings" or not plugin or not field:
        return finding
    command = f"stoker env settings {environment} {plugin}"
    return {**finding, "remedy": f"Give it: {command} --set {field}=VALUE (a secret: --secret {field})"}
