# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Generated secrets have the shape that their users expect, and no two are alike."""

import base64
import re
import struct
import uuid

import pytest
from stoker_sdk.model.generator import GENERATORS, PUBLIC_PARTS, random_text

RANDOM = sorted(GENERATORS - PUBLIC_PARTS.keys())


@pytest.mark.parametrize("generator", RANDOM)
def test_no_two_are_alike(generator):
    assert len({random_text(generator) for _ in range(20)}) == 20


def test_lengths_are_kept():
    assert re.fullmatch(r"[A-Za-z0-9]{7}", random_text("password", 7))
    assert re.fullmatch(r"[0-9a-f]{9}", random_text("hex", 9))


def test_a_uuid_is_one():
    assert uuid.UUID(random_text("uuid")).version == 4


def test_a_fernet_key_has_32_bytes():
    assert len(base64.urlsafe_b64decode(random_text("fernet_key"))) == 32


def test_a_cephx_key_says_what_it_is():
    kind, made, rest, length = struct.unpack("<HIIH", base64.b64decode(random_text("cephx_key"))[:12])
    assert (kind, rest, length) == (1, 0, 16)
    assert made > 1_700_000_000
    assert len(base64.b64decode(random_text("cephx_key"))) == 12 + 16


@pytest.mark.parametrize("generator", ["ssh_key", "x509", "nonsense"])
def test_pairs_are_not_random_texts(generator):
    with pytest.raises(ValueError, match=generator):
        random_text(generator)
