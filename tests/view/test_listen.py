"""The server takes the first free port, and knows what other machines can reach."""

import socket

import pytest

from miso.errors import ConfigError
from miso.view import listen as module
from miso.view.listen import is_loopback, listen


def test_the_first_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0).socket as first:
        monkeypatch.setattr(module, "FIRST_PORT", first.getsockname()[1])
        second = listen("127.0.0.1", None)
        with second.socket:
            assert second.socket.getsockname()[1] > first.getsockname()[1]
            assert second.url == f"http://127.0.0.1:{second.socket.getsockname()[1]}/"


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}: .*in use"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.0.0.5", False),
        ("node7", False),
    ],
)
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
