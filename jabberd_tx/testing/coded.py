"""The in-process link through real encoding: every frame becomes bytes and a frame again, both ways."""

from __future__ import annotations

from jabberd_tx.link.decoding import decode
from jabberd_tx.link.frames import Bounce, Confirm, Fanout, Redirect, Route, Working, encode
from jabberd_tx.link.interfaces import Frame, Port, Switch


def coded(frame: Frame, raw: bytes | None = None) -> tuple[Frame, bytes]:
    """The frame as it comes out at the far end of a wire, and the bytes in between."""
    raw = encode(frame) if raw is None else raw
    return decode(raw[4:]), raw  # type: ignore[return-value]


class CodedPort:
    """What a router sees of a node at the far end of a wire (link.interfaces.Port)."""

    local = False

    def __init__(self, port: Port) -> None:
        self.node, self.incarnation, self._port = port.node, port.incarnation, port
        self.end = port.end

    def send(self, frame: Frame, raw: bytes | None = None) -> None:
        self._port.send(*coded(frame, raw))


class CodedSwitch:
    """What a node sees of a router at the far end of a wire (link.interfaces.Switch)."""

    def __init__(self, switch: Switch) -> None:
        self.node, self._switch = switch.node, switch
        self._ports: dict[str, CodedPort] = {}

    def attach(self, port: Port) -> None:
        self._ports[port.node] = CodedPort(port)
        self._switch.attach(self._ports[port.node])

    def detach(self, port: Port) -> None:
        self._switch.detach(self._ports[port.node])

    def bind(self, port: Port, name: str, options: dict[str, object]) -> str:
        return self._switch.bind(self._ports[port.node], name, options)

    def unbind(self, port: Port, name: str) -> None:
        self._switch.unbind(self._ports[port.node], name)

    def route(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        there, raw = coded(frame, raw)
        self._switch.route(self._ports[port.node], there, raw, len(raw))  # type: ignore[arg-type]

    def fanout(self, port: Port, frame: Fanout, raw: bytes | None, size: int) -> None:
        there, raw = coded(frame, raw)
        self._switch.fanout(self._ports[port.node], there, raw, len(raw))  # type: ignore[arg-type]

    def pass_on(self, port: Port, frame: Confirm | Working | Bounce, raw: bytes | None) -> None:
        there, raw = coded(frame, raw)
        self._switch.pass_on(self._ports[port.node], there, raw)  # type: ignore[arg-type]

    def credit(self, port: Port, size: int) -> None:
        self._switch.credit(self._ports[port.node], size)

    def drain(self, port: Port) -> None:
        self._switch.drain(self._ports[port.node])

    def redirect(self, port: Port, frame: Redirect) -> None:
        self._switch.redirect(self._ports[port.node], coded(frame)[0])  # type: ignore[arg-type]
