# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The sandbox of workers: what their processes see, whose they are, and what they may take."""
