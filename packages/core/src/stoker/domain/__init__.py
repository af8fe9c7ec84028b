# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The words of the glossary as frozen values: what planning, orchestration, transport and services hand to each other."""
