# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bridge, cables and addresses of a lab."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from stoker_lab import layout, programs
from stoker_lab.errors import LabError

CANDIDATES = tuple(f"10.20.{number}" for number in range(256))
NAMESPACES = Path("/run/netns")


def choose_subnet(wanted: str | None) -> str:
    """The first three numbers of a network that this machine does not use.

    Args:
        wanted: e.g. ``10.20.7``; the first free one if None.

    Raises:
        LabError: the wanted one, or every one, is in use.
    """
    used = [
        ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in json.loads(programs.run(["ip", "-j", "-4", "address"]))
        for address in link.get("addr_info", [])
    ]
    routes = [route["dst"] for route in json.loads(programs.run(["ip", "-j", "-4", "route"]))]
    used.extend(ipaddress.ip_network(route, strict=False) for route in routes if route != "default")
    for prefix in (wanted,) if wanted else CANDIDATES:
        network = ipaddress.ip_network(f"{prefix}.0/24")
        if not any(network.overlaps(other) for other in used):
            return prefix
    raise LabError(f"The network {wanted or '10.20.0.0/16'} is in use on this machine.", remedy="Name a free one with --subnet.")


def make_bridge(place: layout.Layout, subnet: str) -> None:
    """Make the bridge with the machine's own address on it."""
    programs.run(["ip", "link", "add", place.bridge, "type", "bridge"])
    programs.run(["ip", "address", "add", f"{subnet}.1/24", "dev", place.bridge])
    programs.run(["ip", "link", "set", place.bridge, "up"])


def connect(place: layout.Layout, node: layout.NodeRecord) -> None:
    """Give a node its network namespace and a cable from it to the bridge."""
    namespace = place.namespace(node.name)
    cable = place.interface(node.index)
    programs.run(["ip", "netns", "add", namespace])
    programs.run(["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace])
    programs.run(["ip", "link", "set", cable, "master", place.bridge, "up"])
    batch = f"link set lo up\naddress add {node.address}/24 dev eth0\nlink set eth0 up\n"
    programs.run(["ip", "-n", namespace, "-b", "-"], text=batch)


def remove(place: layout.Layout) -> None:
    """Remove every namespace, cable and bridge with this lab's mark, whatever its record says."""
    for path in NAMESPACES.glob(f"slb{place.tag}-*"):
        programs.run(["ip", "netns", "delete", path.name])
    for path in sorted(Path("/sys/class/net").glob(f"sl[bv]{place.tag}*"), reverse=True):
        # a cable disappears with the namespace at its other end, at a moment of the kernel's own choice
        if path.exists():
            _delete_link(path)
    if NAMESPACES.is_dir() and not any(NAMESPACES.iterdir()):
        # ip mounts the folder on itself, which only the table of mounts shows
        for _ in range(_mounts(NAMESPACES)):
            programs.run(["umount", str(NAMESPACES)])
        NAMESPACES.rmdir()


def _mounts(folder: Path) -> int:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sum(point == str(folder) for point in points)


def _delete_link(path: Path) -> None:
    try:
        programs.run(["ip", "link", "delete", path.name])
    except LabError:
        if path.exists():
            raise
