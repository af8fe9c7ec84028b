# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin that a type checker accepts."""

from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import config_files, roles, tasks

plugin = Plugin(
    name="right",
    version="1.0.0",
    title="Right",
    contributions=[
        roles.Role(name="right"),
        config_files.Option(path="/etc/right", key="text", value=ref.settings.text + "!"),
        tasks.Shell(id="greet", roles=["right"], run="true", environment={"TEXT": ref.settings.text}),
    ],
)
