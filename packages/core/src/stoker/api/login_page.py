# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The page behind a one-time link: it swaps the link for a session, which a mere look at it (by a preview, say) does not."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from litestar import MediaType, Response, Router, get

from stoker.api.rights import OPEN

_SCRIPT: Final = """
const text = document.getElementById("text"), button = document.getElementById("button");
const secret = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (!secret) { text.textContent = "This link is not whole. Make another one with 'stoker login-link'."; button.remove(); }
button.onclick = async () => {
  const answer = await fetch("/api/session/link", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({secret})});
  const found = await answer.json();
  text.textContent = answer.ok
    ? `You are signed in as ${found.user}, access ${found.access}.` : `${found.detail} ${found.remedy}`;
  button.remove();
};
"""
_PAGE: Final = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in to Stoker</title></head>
<body><h1>Stoker</h1><p id="text">This link signs you in once.</p><button id="button">Sign in</button>
<script>{_SCRIPT}</script></body></html>
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'sha256-{_HASH}'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@get("/login", opt=OPEN, sync_to_thread=False, include_in_schema=False)
def login_page() -> Response[str]:
    """A page with one button."""
    return Response(_PAGE, media_type=MediaType.HTML, headers=_HEADERS)


router = Router("/", route_handlers=[login_page])
