# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Waits until web pages answer as they should, seen from the nodes."""

from __future__ import annotations

from typing import Final

from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import node_packages, settings, task_kinds, tasks

from stoker_plugin_probe.parameters import ProbeParameters, ProbeSettings

PROGRAM: Final = "files/http_probe.py"

plugin = Plugin(
    name="probe",
    version="1.0.0",
    title="Pages that answer as they should",
    description="Brings the kind of task `http_probe`, and looks at pages of the operator's choice after each deployment.",
    license="Apache-2.0",
    contributions=(
        settings.Settings.from_model(ProbeSettings),
        node_packages.NodePackages(roles=("*",), packages=("python3",)),
        task_kinds.TaskKind(
            name="http_probe",
            title="Wait until HTTP pages answer as they should",
            executable=PROGRAM,
            parameters=task_kinds.schema_of(ProbeParameters),
            dry_run=True,
            idempotent=True,
            timeout=3600,
        ),
        tasks.Custom(
            id="pages",
            title="The operator's pages answer",
            roles=("*",),
            kind="http_probe",
            parameters={"pages": ref.settings.pages, "within": ref.settings.within, "token": ref.settings.token},
            phase="verify",
            always=True,
            when="size(settings.pages) > 0",
        ),
    ),
)
