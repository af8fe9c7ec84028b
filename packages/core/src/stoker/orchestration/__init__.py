# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Carrying out a plan: scheduler, runner, history, resume."""
