# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Use cases: each function is one thing a person can do; transactions begin and end here."""
