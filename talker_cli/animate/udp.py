"""Live curves over UDP, at the motion's pace: Epic's Live Link Face, and VMC for VSeeFace, Warudo, VMagicMirror and Blender."""

import re
import socket
import struct
import time
import uuid
from abc import ABC, abstractmethod

import numpy as np

from talker_cli.avatar.drive import PRESETS, expressions_drive
from talker_cli.avatar.scene import quaternions_of
from talker_cli.avatar.table import built_in
from talker_cli.errors import OutputError
from talker_cli.rig import ARKIT_NAMES, head_matrices

PAUSE = 0.25  # seconds that a frame is late when its sound is taken to have paused: the pace starts anew from it
ROTATIONS = 9  # of head and eyes, which follow the 52 coefficients; the eyes' stay zero
PACKET_VERSION = 6
VMC_PORT = 39539
# VRM 0.x's names, which VMC sends, of VRM 1.0's presets.
NAMES_0 = ("A", "I", "U", "E", "O", "Blink_L", "Blink_R", "Joy", "Angry", "Sorrow", "Surprised")
VMC_PRESETS = dict(zip(PRESETS, NAMES_0, strict=True))
ADDRESS = re.compile(r"(udp|vmc):/{0,2}([^/:]+)(?::(\d{1,5}))?(/presets)?")


class Paced(ABC):
    """Sends one packet a frame when it is due.

    Args:
        host: Receiver's name or IPv4 address.
        port: Receiver's port.
        fps: Frames a second.
    """

    def __init__(self, host: str, port: int, fps: float) -> None:
        self._fps = fps
        try:
            self._address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no name of a host"
            raise OutputError(
                f"found no host {host} ({why}); expected an address and a port, such as udp://127.0.0.1:11111"
            ) from error
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._start: float | None = None

    def send(self, frame: int, values: np.ndarray) -> None:
        """Send one frame's coefficients (K,) when it is due."""
        now = time.monotonic()
        if self._start is None or now > self._start + frame / self._fps + PAUSE:  # the sound began, or went on after a pause
            self._start = now - frame / self._fps
        time.sleep(max(0.0, self._start + frame / self._fps - now))
        try:
            self._socket.sendto(self.packet(frame, values), self._address)
        except OSError as error:
            where = ":".join(map(str, self._address))
            raise OutputError(
                f"cannot send to {where} ({error.strerror}); expected an address that can be reached; give another one"
            ) from error

    @abstractmethod
    def packet(self, frame: int, values: np.ndarray) -> bytes:
        """Return the packet of a frame's coefficients (K,)."""


class LiveLink(Paced):
    """Packets of Epic's Live Link Face app.

    Args:
        host, port, fps: See `Paced`; Unreal's port is 11111.
        name: Subject's name, as Unreal lists it.
    """

    def __init__(self, host: str, port: int, name: str, fps: float) -> None:
        super().__init__(host, port, fps)
        self._name = name.encode()
        self._device = f"${uuid.uuid4()}".encode()  # 37 bytes

    def packet(self, frame: int, values: np.ndarray) -> bytes:
        """Return a packet: version, device, subject, timecode, 52 coefficients in Apple's order, nine rotations."""
        head = struct.pack("<i", PACKET_VERSION) + self._device + struct.pack("!i", len(self._name)) + self._name
        face, turn = values[: len(ARKIT_NAMES)], values[len(ARKIT_NAMES) :]
        turns = np.zeros(ROTATIONS)
        if len(turn):
            turns[:3] = turn[[1, 0, 2]]  # yaw, pitch, roll
        numbers = [*face.tolist(), *turns.tolist()]
        return head + struct.pack(f"!ifiiB{len(numbers)}f", frame, 0.0, round(self._fps), 1, len(numbers), *numbers)


class Vmc(Paced):
    """Virtual Motion Capture protocol: an OSC bundle a frame, of shapes and of the head where the motion turns it.

    Args:
        host, port, fps: See `Paced`; receivers listen at 39539.
        presets: Whether VRM's presets are sent in place of ARKit's shapes (perfect sync).
    """

    def __init__(self, host: str, port: int, fps: float, presets: bool = False) -> None:
        super().__init__(host, port, fps)
        self._drive = expressions_drive(None, built_in()) if presets else None

    def packet(self, frame: int, values: np.ndarray) -> bytes:
        """Return the bundle of a frame's 52 ARKit coefficients, and the head's rotation if it follows them."""
        face = values[: len(ARKIT_NAMES)]
        if self._drive is None:
            shapes = {name[0].upper() + name[1:]: value for name, value in zip(ARKIT_NAMES, face.tolist(), strict=True)}
        else:
            found = self._drive.values(face[None])[0].tolist()
            shapes = {VMC_PRESETS[control.label]: value for control, value in zip(self._drive.controls, found, strict=True)}
        messages = [osc("/VMC/Ext/OK", 1), osc("/VMC/Ext/T", frame / self._fps)]
        if len(values) > len(face):
            x, y, z, w = quaternions_of(head_matrices(values[None, len(face) :].astype(np.float64)))[0].tolist()
            # Unity's axes: the same but for x, which points to the subject's right.
            messages.append(osc("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, x, -y, -z, w))
        messages += [osc("/VMC/Ext/Blend/Val", name, value) for name, value in shapes.items()]
        messages.append(osc("/VMC/Ext/Blend/Apply"))
        return b"#bundle\0" + struct.pack("!Q", 1) + b"".join(struct.pack("!i", len(each)) + each for each in messages)


def osc(address: str, *arguments: str | int | float) -> bytes:
    """Return an OSC message (Open Sound Control 1.0) of strings, int32 and float32."""
    tags, data = ",", b""
    for argument in arguments:
        if isinstance(argument, str):
            tags, data = tags + "s", data + _padded(argument)
        elif isinstance(argument, int):
            tags, data = tags + "i", data + struct.pack("!i", argument)
        else:
            tags, data = tags + "f", data + struct.pack("!f", argument)
    return _padded(address) + _padded(tags) + data


def _padded(text: str) -> bytes:
    """Return a text with at least one zero behind it, of a length that four divides."""
    data = text.encode() + b"\0"
    return data + bytes(-len(data) % 4)


def parse_live(place: str) -> tuple[str, str, int, bool] | None:
    """Return scheme, host, port and whether presets are asked for of a live output; None if it is none.

    `udp://127.0.0.1:11111` is Live Link, `vmc://127.0.0.1:39539` and `vmc://127.0.0.1/presets` are VMC; slashes may be missing.
    """
    found = ADDRESS.fullmatch(place)
    if found is None or (found[1] == "udp" and (found[3] is None or found[4])):
        return None
    port = int(found[3] or VMC_PORT)
    return (found[1], found[2], port, bool(found[4])) if port < 1 << 16 else None
