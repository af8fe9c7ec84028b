# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A client that fetches pages all the time, each over a connection of its own, and keeps what went wrong."""

import http.client
import threading
import time


class Fetcher:
    """Fetches a page from a node again and again while it is entered."""

    def __init__(self, address, port, expected):
        self.address = address
        self.port = port
        self.expected = expected
        """The page holds one of these texts."""
        self.fetched = 0
        self.served = {}
        """Who served a page -> how many."""
        self.failures = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join(30)

    def fetch(self):
        """One page; gives status, body and who served it."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=20)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.getheader("X-Served-By")
        finally:
            connection.close()

    def _run(self):
        while not self._end.is_set():
            moment = time.time()
            try:
                status, body, server = self.fetch()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((moment, repr(error)))
            else:
                self.fetched += 1
                self.served[server] = self.served.get(server, 0) + 1
                if status != 200 or not any(text in body for text in self.expected):
                    self.failures.append((moment, status, body[:200]))
            time.sleep(0.005)
