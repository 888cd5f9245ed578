"""Which addresses may be asked. The address is judged that a connection is really made to, not the name.

A vendor's answer, a name server or a slip in a setting could otherwise lead a request, and the token in it, to the
metadata service of the cloud or to a service of the inner network.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from continuous_gtfs.errors import ConfigurationError

ALLOW_SETTING = "CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS"
# Names under which clouds serve credentials to whoever asks from inside.
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Targets:
    """Public addresses, and what an operator has named beside them.

    Attributes:
        names: Host names, in lower case, that may have any address.
        networks: Addresses that may be asked though they are not public.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Targets:
        """What ``CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS`` allows: host names, addresses and CIDR blocks with commas.

        Raises:
            ConfigurationError: An entry looks like a network and is none.
        """
        names: set[str] = set()
        networks: list[Network] = []
        for entry in filter(None, (part.strip().lower() for part in settings.get(ALLOW_SETTING, "").split(","))):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError as error:
                if "/" in entry or ":" in entry or entry.replace(".", "").isdigit():
                    raise ConfigurationError(
                        f"{ALLOW_SETTING}: {entry!r} is no host name, address or CIDR block: {error}"
                    ) from error
                names.add(entry.rstrip("."))
        return cls(frozenset(names), tuple(networks))

    def refuses_name(self, host: str) -> str | None:
        """Why ``host`` must not be asked, before it is looked up; None where nothing speaks against it.

        Hexadecimal, octal and shortened addresses (``0x7f.1``, ``2130706433``) are read as the resolver reads them.
        """
        name = host.lower().rstrip(".")
        if name in self.names:
            return None
        if name in _METADATA_NAMES:
            return "it is a metadata service"
        address = _as_address(name)
        return None if address is None else self.refuses_address(address)

    def refuses_address(self, address: Address, *, name: str = "") -> str | None:
        """Why ``address``, found under ``name``, must not be asked; None where nothing speaks against it."""
        if name.lower().rstrip(".") in self.names or any(address in network for network in self.networks):
            return None
        inner = _inner(address)
        if inner is not None and any(inner in network for network in self.networks):
            return None
        # What is_global leaves open: multicast may be global in scope.
        judged = inner or address
        if judged.is_global and not judged.is_multicast:
            return None
        return f"{address} is {_kind(judged)}"


def _as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, compatible, 6to4, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _kind(address: Address) -> str:
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "an address of this machine"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    return "an address of a private or reserved network"
