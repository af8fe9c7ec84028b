# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin that a type checker refuses in each line that says so."""

from stoker_sdk import Plugin
from stoker_sdk.extension_points import config_files, roles, tasks

roles.Role(name=1)  # refused: arg-type
roles.Role(nome="x")  # refused: call-arg
tasks.Shell(id="x", roles=["*"], run="true", phase="soon")  # refused: arg-type
config_files.ConfigFile(path="/etc/x", format="toml")  # refused: arg-type
Plugin(name="x", version="1", title="X", contributions=["x"])  # refused: list-item
