# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a running server tells about itself: log lines with their subject, metrics, and notes to the service manager."""
