# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The client: one typed method per endpoint of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from stoker.client import component_documents
from stoker.client import documents as doc
from stoker.client.actions import ActionRequests
from stoker.client.commands import CommandRequests
from stoker.client.day_two import DayTwoRequests
from stoker.client.environment_documents import AppliedDocument, DifferencesDocument
from stoker.client.fleet import FleetRequests
from stoker.client.following import Following
from stoker.client.people import PeopleRequests
from stoker.client.plugin_code import PluginCodeRequests
from stoker.client.plugin_lifecycle import PluginLifecycleRequests
from stoker.client.requests import part_of_path as _q


class StokerClient(
    ActionRequests,
    CommandRequests,
    DayTwoRequests,
    Following,
    FleetRequests,
    PeopleRequests,
    PluginCodeRequests,
    PluginLifecycleRequests,
):
    """Talks to one server; use it as a context manager. Every method raises a StokerError with the server's remedy."""

    # The server

    def health(self) -> doc.Json:
        """Whether the server is up; needs no token."""
        return self._one(dict[str, object], "GET", "/api/health")

    def ready(self) -> doc.Json:
        """Whether the server can do its work; raises a StokerError that names what fails. Needs no token."""
        return self._one(dict[str, object], "GET", "/api/ready")

    def version(self) -> doc.Json:
        """The server's version."""
        return self._one(dict[str, object], "GET", "/api/version")

    # Plugins

    def install_plugin(self, bundle: bytes, *, allow_network: bool = False) -> doc.PluginDocument:
        """Install a bundle; the server checks it again. ``allow_network``: its code may reach the network, if it must."""
        query = {"allow_network": allow_network or None}
        return cast("doc.PluginDocument", self._send("POST", "/api/plugins", content=bundle, query=query, timeout=300))

    def plugins(self) -> list[doc.PluginDocument]:
        """The installed plugins, every version."""
        return self._many(doc.PluginDocument, "/api/plugins")

    def plugin(self, name: str, version: str) -> doc.PluginDocument:
        """One plugin version."""
        return self._one(doc.PluginDocument, "GET", f"/api/plugin-versions/{_q(name)}/{_q(version)}")

    def components(self, release: str = "") -> component_documents.ComponentsDocument:
        """What can be chosen when an environment is made."""
        return self._one(component_documents.ComponentsDocument, "GET", "/api/components", query={"release": release or None})

    def choice(self, chosen: Sequence[str], release: str = "") -> component_documents.ChoiceDocument:
        """What follows from choosing components."""
        query = {"chosen": list(chosen), "release": release or None}
        return self._one(component_documents.ChoiceDocument, "GET", "/api/components/choice", query=query)

    def releases(self) -> list[doc.ReleaseDocument]:
        """The releases that installed plugins bring."""
        return self._many(doc.ReleaseDocument, "/api/releases")

    def release(self, name: str) -> doc.ReleaseDocument:
        """One release with its roles and services."""
        return self._one(doc.ReleaseDocument, "GET", f"/api/releases/{_q(name)}")

    def repositories(self) -> list[doc.RepositoryDocument]:
        """The package repositories of installed plugins."""
        return self._many(doc.RepositoryDocument, "/api/repositories")

    def repository_key(self) -> doc.RepositoryKeyDocument:
        """The public key that signs them."""
        return self._one(doc.RepositoryKeyDocument, "GET", "/api/repositories/key")

    def renew_repository_key(self) -> doc.RepositoryKeyDocument:
        """Sign them with a new key."""
        return self._one(doc.RepositoryKeyDocument, "POST", "/api/repositories/key")

    # Environments

    def environments(self) -> list[doc.EnvironmentDocument]:
        """All environments."""
        return self._many(doc.EnvironmentDocument, "/api/environments")

    def create_environment(
        self, name: str, *, release: str = "", plugins: Mapping[str, str] | None = None, components: Sequence[str] = ()
    ) -> doc.EnvironmentDocument:
        """Make an environment. ``plugins``: name -> version, an empty one for the server's default one."""
        body: dict[str, object] = {"name": name}
        if release or plugins or components:
            body |= {"release": release, "plugins": dict(plugins or {}), "components": list(components)}
        return self._one(doc.EnvironmentDocument, "POST", "/api/environments", body=body, timeout=120)

    def environment(self, environment: str) -> doc.EnvironmentDocument:
        """One environment, by name or id."""
        return self._one(doc.EnvironmentDocument, "GET", f"/api/environments/{_q(environment)}")

    def delete_environment(self, environment: str) -> None:
        """Delete an environment that has nothing on nodes."""
        self._send("DELETE", f"/api/environments/{_q(environment)}")

    def environment_plugins(self, environment: str) -> list[doc.EnabledPluginDocument]:
        """The plugins of an environment with version, settings and problems."""
        return self._many(doc.EnabledPluginDocument, f"/api/environments/{_q(environment)}/plugins")

    def environment_plugin(self, environment: str, plugin: str) -> doc.EnabledPluginDocument:
        """One plugin of an environment; the client remembers in which state it saw it."""
        return self._one(doc.EnabledPluginDocument, "GET", f"/api/environments/{_q(environment)}/plugins/{_q(plugin)}")

    def enable_plugin(
        self,
        environment: str,
        plugin: str,
        *,
        version: str | None = None,
        settings: Mapping[str, object] | None = None,
        as_seen: bool = False,
    ) -> doc.EnabledPluginDocument:
        """Enable a plugin, or change its version or settings; ``settings`` is the whole object.

        With ``as_seen`` it is refused (OutdatedEditError) if somebody changed the plugin since ``environment_plugin`` showed it.
        """
        body: dict[str, object] = {}
        if version is not None:
            body["version"] = version
        if settings is not None:
            body["settings"] = settings
        path = f"/api/environments/{_q(environment)}/plugins/{_q(plugin)}"
        seen = self._seen(path) if as_seen else ""
        return self._one(doc.EnabledPluginDocument, "PUT", path, body=body, if_match=seen)

    def disable_plugin(self, environment: str, plugin: str) -> doc.Json:
        """Disable a plugin; the next deployment takes from the nodes what it brought."""
        return self._one(dict[str, object], "DELETE", f"/api/environments/{_q(environment)}/plugins/{_q(plugin)}")

    def roles(self, environment: str) -> list[doc.RoleDocument]:
        """The roles that the plugins of an environment bring."""
        return self._many(doc.RoleDocument, f"/api/environments/{_q(environment)}/roles")

    def environment_nodes(self, environment: str) -> list[doc.NodeDocument]:
        """The nodes of an environment with their roles."""
        return self._many(doc.NodeDocument, f"/api/environments/{_q(environment)}/nodes")

    def assign_node(self, environment: str, node: str, roles: Sequence[str]) -> doc.NodeDocument:
        """Put a node into an environment with exactly these roles."""
        return self._one(
            doc.NodeDocument, "PUT", f"/api/environments/{_q(environment)}/nodes/{_q(node)}", body={"roles": list(roles)}
        )

    def unassign_node(self, environment: str, node: str) -> doc.Json:
        """Take a node out; the next deployment removes what was brought to it."""
        return self._one(dict[str, object], "DELETE", f"/api/environments/{_q(environment)}/nodes/{_q(node)}")

    def export_environment(self, environment: str, *, with_nodes: bool = False) -> doc.Json:
        """An environment as a document: no secret, no id, no history."""
        query = {"with_nodes": "true" if with_nodes else None}
        return self._one(dict[str, object], "GET", f"/api/environments/{_q(environment)}/document", query=query)

    def compare_environment(self, environment: str, document: doc.Json) -> DifferencesDocument:
        """What applying a document would change."""
        body = {"document": document}
        return self._one(DifferencesDocument, "POST", f"/api/environments/{_q(environment)}/document/diff", body=body)

    def apply_environment(
        self, environment: str, document: doc.Json, *, secrets: Mapping[str, str] | None = None, dry_run: bool = False
    ) -> AppliedDocument:
        """Make an environment, or change it, to exactly what a document says."""
        body = {"document": document, "secrets": dict(secrets or {}), "dry_run": dry_run}
        return self._one(AppliedDocument, "PUT", f"/api/environments/{_q(environment)}/document", body=body, timeout=900)

    def overrides(self, environment: str) -> list[doc.OverrideDocument]:
        """The operator's own values in files."""
        return self._many(doc.OverrideDocument, f"/api/environments/{_q(environment)}/overrides")

    def set_override(self, environment: str, **fields: object) -> doc.OverrideDocument:
        """Give an override. ``fields``: path, section, key, value, roles."""
        return self._one(doc.OverrideDocument, "PUT", f"/api/environments/{_q(environment)}/overrides", body=fields, timeout=120)

    def unset_override(
        self, environment: str, *, path: str, key: str, section: str = "", roles: Sequence[str] = ("*",)
    ) -> doc.OverrideDocument:
        """Take an override back."""
        query = {"path": path, "section": section, "key": key, "roles": ",".join(roles)}
        return self._one(doc.OverrideDocument, "DELETE", f"/api/environments/{_q(environment)}/overrides", query=query)

    def run_checks(self, environment: str) -> list[doc.CheckDocument]:
        """Run every health check of an environment now."""
        answer = self._one(dict[str, object], "POST", f"/api/environments/{_q(environment)}/checks", timeout=900)
        return cast("list[doc.CheckDocument]", answer.get("items", []))

    # Credentials

    def credentials(self) -> list[doc.CredentialDocument]:
        """The keys for reaching nodes, public halves only."""
        return self._many(doc.CredentialDocument, "/api/credentials")

    def add_credential(self, name: str, private_key: str | None = None) -> doc.CredentialDocument:
        """Keep a private key, or let the server make one; the answer has the public key."""
        body = {"name": name} if private_key is None else {"name": name, "private_key": private_key}
        return self._one(doc.CredentialDocument, "POST", "/api/credentials", body=body)

    def remove_credential(self, name: str) -> None:
        """Delete a key that no node uses."""
        self._send("DELETE", f"/api/credentials/{_q(name)}")

    # Nodes

    def add_node(self, name: str, address: str, **fields: object) -> doc.NodeDocument:
        """Add a node. ``fields``: port, user, sudo, credential, jump, transport, refresh; None leaves one out."""
        body = {"name": name, "address": address, **{key: value for key, value in fields.items() if value is not None}}
        return self._one(doc.NodeDocument, "POST", "/api/nodes", body=body, timeout=120)

    def change_node(self, node: str, **fields: object) -> doc.NodeDocument:
        """Change how a node is reached. ``fields``: address, port, user, sudo, credential, jump; ``jump=None`` takes it away."""
        return self._one(doc.NodeDocument, "PATCH", f"/api/nodes/{_q(node)}", body=fields)

    def node(self, node: str) -> doc.NodeDocument:
        """One node, by name or id."""
        return self._one(doc.NodeDocument, "GET", f"/api/nodes/{_q(node)}")

    def remove_node(self, node: str) -> None:
        """Delete a node that is in no environment."""
        self._send("DELETE", f"/api/nodes/{_q(node)}")

    def refresh_node(self, node: str) -> doc.NodeDocument:
        """Connect to a node and read its facts; the first host key is remembered."""
        return self._one(doc.NodeDocument, "POST", f"/api/nodes/{_q(node)}/refresh", timeout=120)

    def forget_host_key(self, node: str) -> doc.Json:
        """Forget a node's host key, after it was installed anew."""
        return self._one(dict[str, object], "POST", f"/api/nodes/{_q(node)}/forget-host-key")

    # Plans

    def create_plan(self, environment: str, **part: Sequence[str]) -> doc.PlanDocument:
        """Look at the nodes and plan. ``part``: nodes, roles, tasks; what is not named there is left out."""
        body = {name: list(names) for name, names in part.items() if names} or None
        return self._one(doc.PlanDocument, "POST", f"/api/environments/{_q(environment)}/plans", body=body, timeout=900)

    def plans(self, environment: str) -> list[doc.PlanDocument]:
        """The plans of an environment, newest first."""
        found = self._many(doc.PlanDocument, f"/api/environments/{_q(environment)}/plans")
        return sorted(found, key=lambda plan: plan.get("created_at", 0.0), reverse=True)

    def plan(self, plan: str) -> doc.PlanDocument:
        """One plan's summary."""
        return self._one(doc.PlanDocument, "GET", f"/api/plans/{_q(plan)}")

    def plan_files(self, plan: str, *, node: str = "", everything: bool = False) -> list[doc.PlanFileDocument]:
        """The files of a plan with their diffs; unchanged ones only with ``everything``."""
        return self._many(doc.PlanFileDocument, f"/api/plans/{_q(plan)}/files", {"node": node, "all": everything or None})

    def plan_packages(self, plan: str) -> list[doc.PlanPackageDocument]:
        """The packages of a plan."""
        return self._many(doc.PlanPackageDocument, f"/api/plans/{_q(plan)}/packages")

    def plan_tasks(self, plan: str, *, node: str = "") -> list[doc.PlanTaskDocument]:
        """The tasks that a deployment of the plan runs, in order."""
        return self._many(doc.PlanTaskDocument, f"/api/plans/{_q(plan)}/tasks", {"node": node})

    def plan_patches(self, plan: str) -> list[doc.PlanPatchDocument]:
        """What plugins changed in each other's tasks."""
        return self._many(doc.PlanPatchDocument, f"/api/plans/{_q(plan)}/patches")

    def plan_left_out(self, plan: str) -> list[doc.LeftOutDocument]:
        """What a plan of a part leaves out."""
        return self._many(doc.LeftOutDocument, f"/api/plans/{_q(plan)}/left-out")

    def dry_run_plan(self, plan: str, *, node: str = "") -> list[doc.DryRunDocument]:
        """Ask the nodes what the tasks of plugins' own kinds would change."""
        answer = self._one(
            doc.DryRunsDocument, "POST", f"/api/plans/{_q(plan)}/dry-run", query={"node": node or None}, timeout=900
        )
        return answer["items"]

    def explain(self, plan: str, *, node: str, path: str, line: int) -> doc.ExplainDocument:
        """Where one line of one planned file came from."""
        return self._one(
            doc.ExplainDocument, "GET", f"/api/plans/{_q(plan)}/explain", query={"node": node, "path": path, "line": line}
        )

    # Deployments

    def deploy(self, environment: str, plan: str | None = None, **part: Sequence[str]) -> doc.DeploymentDocument:
        """Start a deployment of a plan, or of a new one. ``part``: nodes, roles, tasks; what is not named there is left out."""
        body: dict[str, object] = {name: list(names) for name, names in part.items() if names}
        if plan is not None:
            body["plan"] = plan
        return self._one(
            doc.DeploymentDocument, "POST", f"/api/environments/{_q(environment)}/deployments", body=body, timeout=900
        )

    def deployments(self, environment: str) -> list[doc.DeploymentDocument]:
        """The deployments of an environment, newest first."""
        found = self._many(doc.DeploymentDocument, f"/api/environments/{_q(environment)}/deployments")
        return sorted(found, key=lambda deployment: deployment.get("created_at", 0.0), reverse=True)

    def stop_deployment(self, deployment: str) -> doc.DeploymentDocument:
        """Let what runs end, and start nothing more."""
        return self._one(doc.DeploymentDocument, "POST", f"/api/deployments/{_q(deployment)}/stop")

    def retry_deployment(self, deployment: str) -> doc.DeploymentDocument:
        """Go on from what failed."""
        return self._one(doc.DeploymentDocument, "POST", f"/api/deployments/{_q(deployment)}/retry", timeout=900)

    def answer_unknown(self, deployment: str, *, node: str, task: str, answer: str) -> doc.DeploymentDocument:
        """Say whether a task whose end is unknown was ``done`` or must ``rerun``."""
        body = {"node": node, "task": task, "answer": answer}
        return self._one(doc.DeploymentDocument, "POST", f"/api/deployments/{_q(deployment)}/answer", body=body)

    def attempts(self, deployment: str, *, node: str = "", task: str = "", state: str = "") -> list[doc.AttemptDocument]:
        """The history: every try of every task on every node, or those in one state."""
        wanted = {"node": node, "task": task, "state": state}
        return self._many(doc.AttemptDocument, f"/api/deployments/{_q(deployment)}/attempts", wanted)
