# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Diagnosis: what stands in a server's way on its own machine, each with its remedy; nothing is changed."""
