# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Where a server listens: its port and its certificate."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
from pathlib import Path

from stoker.api.auth import allowed_hosts
from stoker.config import ServerConfig
from stoker.errors import ConfigurationError, StokerError
from stoker.services.certificates import ensure_certificate, fingerprint

_LOG = logging.getLogger("stoker.app")


def listen(config: ServerConfig) -> list[socket.socket]:
    """Take the port before anything else is opened; every address of the host's name has it.

    Raises:
        ConfigurationError: this machine has no such address.
        StokerError: the port is in use, or not for this user.
    """
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"the server cannot listen on {config.host}: the name has no address.", remedy="Give an address with --listen."
        ) from error
    taken: list[socket.socket] = []
    port = config.port
    with contextlib.ExitStack() as stack:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            made = stack.enter_context(socket.socket(family, kind, protocol))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                made.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    continue  # e.g. localhost is ::1, too, where the machine has no IPv6
                raise _cannot_listen(config, error) from error
            port = made.getsockname()[1]
            taken.append(made)
        stack.pop_all()
    if not taken:
        raise _cannot_listen(config, OSError(errno.EADDRNOTAVAIL, ""))
    return taken


def _cannot_listen(config: ServerConfig, error: OSError) -> StokerError:
    """Which port of which address, why, and what to do."""
    what = f"the server cannot listen on {config.host} port {config.port}"
    if error.errno == errno.EADDRINUSE:
        return StokerError(
            f"{what}: the port is in use.",
            remedy=f"Stop what uses it ('ss -ltnp sport = :{config.port}' shows it), or choose another port with --listen.",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(f"{what}: this machine has no such address.", remedy="Give one that it has with --listen.")
    return StokerError(f"{what}: {error.strerror}.", remedy="Choose another port with --listen, e.g. one above 1023.")


def ensure_tls(config: ServerConfig) -> tuple[Path | None, Path | None]:
    """The files of certificate and key where the server speaks TLS; those of its own are made if need be.

    Raises:
        ConfigurationError: the given ones cannot be used.
    """
    if not config.uses_tls:
        return None, None
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigurationError("tls_cert and tls_key belong together.", remedy="Give both, or none to have a certificate made.")
    if config.tls_cert is not None and config.tls_key is not None:
        certificate, key = config.tls_cert, config.tls_key
        _check_certificate(certificate, key)
    else:
        certificate, key = ensure_certificate(config.data_dir / "tls", allowed_hosts(config))
    _LOG.info("certificate %s, SHA-256 fingerprint %s", certificate, fingerprint(certificate))
    return certificate, key


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the certificate {certificate} with the key {key} cannot be used: {error.strerror or error}.",
            remedy="Give a certificate and its key in PEM with --tls-cert and --tls-key.",
        ) from error
