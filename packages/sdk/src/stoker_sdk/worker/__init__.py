# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The worker: the process in which one plugin version's code runs, and what the control plane says to it."""
