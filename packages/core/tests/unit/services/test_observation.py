# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a file with secrets: names in place of values where it is ours, nothing where somebody changed it."""

from __future__ import annotations

import pytest
from stoker.db.vault import Vault
from stoker.domain.node import Observation, ObservedFile
from stoker.domain.snapshot import Applied, AppliedFile
from stoker.services.observation import without_secrets

SECRETS = {("p", "key", 1): "hunter2", ("p", "pem", 3): "-----\nhunter2 and more\n-----"}
OURS = "port=80\nkey=hunter2\npem=-----\nhunter2 and more\n-----\n"


@pytest.fixture
def vault() -> Vault:
    return Vault(b"k" * 32)


def seen(vault: Vault, content: str, *, applied: bool) -> tuple[ObservedFile, dict[str, str]]:
    found = Observation(files={"/etc/x": ObservedFile(kind="file", content=content, sha256="plain")})
    before = Applied(files={"/etc/x": AppliedFile(sha256="s", plugins=["p"], keyed_hash=vault.keyed_hash(OURS.encode()))})
    observed, hashes = without_secrets(found, before if applied else Applied(), SECRETS, vault)
    return observed.files["/etc/x"], hashes


def test_what_we_wrote_keeps_names_in_place_of_secrets(vault: Vault) -> None:
    file, hashes = seen(vault, OURS, applied=True)
    assert file.content == "port=80\nkey=<secret p.key v1>\npem=<secret p.pem v3>\n"
    assert (file.sha256, hashes) == ("", {"/etc/x": vault.keyed_hash(OURS.encode())})


def test_what_somebody_changed_is_not_kept(vault: Vault) -> None:
    file, hashes = seen(vault, OURS.replace("hunter2", "another"), applied=True)
    assert (file.content, file.sha256, list(hashes)) == (None, "", ["/etc/x"])


def test_what_holds_a_secret_and_is_not_ours_is_not_kept(vault: Vault) -> None:
    assert seen(vault, "copy of hunter2", applied=False)[0].content is None
    assert seen(vault, "nothing", applied=False) == (ObservedFile(kind="file", content="nothing", sha256="plain"), {})
