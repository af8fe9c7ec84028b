# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Users: added, changed and removed by admins; everybody may see themselves and change their own password."""

from __future__ import annotations

from litestar import Router, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.rights import ADMIN, OWN
from stoker.services import passwords, users
from stoker.services.context import ServerContext
from stoker.services.users import NewPassword, NewUser, UserChange, UserView


@post("/", opt=ADMIN, responses=problems(409, 413, 422))
async def add_user(context: NamedDependency[ServerContext], data: JSONBody[NewUser]) -> UserView:
    """Add a user."""
    return await passwords.apart(users.add, context, data)


@get("/", opt=ADMIN, sync_to_thread=True, responses=problems())
def list_users(context: NamedDependency[ServerContext]) -> Listing[UserView]:
    """All users."""
    return Listing(users.list_all(context))


@get("/{user:str}", opt=OWN, sync_to_thread=True, responses=problems(404))
def show_user(context: NamedDependency[ServerContext], user: FromPath[str]) -> UserView:
    """One user: oneself, or anybody for an admin."""
    return users.show(context, user)


@patch("/{user:str}", opt=ADMIN, sync_to_thread=True, responses=problems(404, 409, 413))
def change_user(context: NamedDependency[ServerContext], user: FromPath[str], data: JSONBody[UserChange]) -> UserView:
    """Change a user's access, or keep them out. The last enabled admin stays, unless the server's own token says otherwise."""
    return users.change(context, user, data)


@put("/{user:str}/password", opt=OWN, responses=problems(404, 413, 422, 429))
async def set_password(context: NamedDependency[ServerContext], user: FromPath[str], data: JSONBody[NewPassword]) -> UserView:
    """Set a password: one's own with the old one, anybody's for an admin. The user's other sessions end."""
    return await passwords.apart(users.set_password, context, user, data)


@delete("/{user:str}", opt=ADMIN, sync_to_thread=True, responses=problems(404, 409))
def remove_user(context: NamedDependency[ServerContext], user: FromPath[str]) -> None:
    """Remove a user; their tokens and sessions end at once."""
    users.remove(context, user)


router = Router(
    "/api/users", route_handlers=[add_user, list_users, show_user, change_user, set_password, remove_user], tags=["users"]
)
