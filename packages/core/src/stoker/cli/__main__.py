# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Lets ``python -m stoker.cli`` be the same as ``stoker``."""

from __future__ import annotations

from stoker.cli.main import main

if __name__ == "__main__":
    main()
