from __future__ import annotations

import socket
from dataclasses import asdict

import pytest

from continuous_gtfs.demo.ports import HOST, Ports, is_free, is_listening
from continuous_gtfs.errors import ConfigurationError


def test_five_ports_in_a_row_follow_the_base() -> None:
    assert sorted(asdict(Ports.from_base(5000)).values()) == [5000, 5001, 5002, 5003, 5004]


@pytest.mark.parametrize("base", [0, -1, 65532, 70000])
def test_a_base_without_room_for_five_ports_is_refused_with_the_option_named(base: int) -> None:
    with pytest.raises(ConfigurationError, match="--port-base"):
        Ports.from_base(base)


def test_free_ports_are_five_different_ones() -> None:
    ports = Ports.free()
    assert len(set(asdict(ports).values())) == 5
    ports.check_free()


def test_a_port_in_use_is_named_with_its_purpose_and_the_option_that_helps() -> None:
    ports = Ports.free()
    with socket.socket() as other:
        other.bind((HOST, ports.published))
        other.listen()
        assert is_listening(ports.published)
        assert not is_free(ports.published)
        with pytest.raises(ConfigurationError, match=rf"port {ports.published} \(for published\).*--port-base"):
            ports.check_free()
        ports.check_free(("webserver", "simulator"))
    assert not is_listening(ports.published)
