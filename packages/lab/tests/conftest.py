# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Lab nodes for this folder's tests."""

from stoker_lab.pytest_fixtures import lab, lab_nodes

__all__ = ["lab", "lab_nodes"]
