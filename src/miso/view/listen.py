"""Where the server listens: a port of this machine, by default one that this machine alone reaches."""

import ipaddress
import socket
from dataclasses import dataclass

from miso.errors import ConfigError

FIRST_PORT, PORTS = 8765, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that listens, and the address that a browser on this machine opens."""

    socket: socket.socket
    url: str


def listen(host: str, port: int | None) -> Listener:
    """Take a port: the one asked for, or else the first free one from 8765 on.

    Raises
    ------
    ConfigError
        If the address is not this machine's, or no such port is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio lets Nagle wait
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, candidate))
        except OSError as err:
            taken.close()
            why = err
            continue
        taken.listen(128)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        return Listener(socket=taken, url=f"http://{shown}:{taken.getsockname()[1]}/")
    asked = f"port {port}" if port is not None else f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise ConfigError(
        f"cannot listen on {host}, {asked}: {why.strerror or why}; try another --port or --host"
    )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
