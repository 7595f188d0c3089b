"""Live animation for other programs: sound in over WebSockets, frames out as JSON, many clients over one loaded model.

Each client has a sound, a motion and a buffer of its own. A pass through the network takes all the sound that came since the
client's last one, so that many clients, or a slow machine, get longer passes and not more of them. Nothing grows: a full
buffer ends the reading until there is room, and a client that does not read its frames holds up nobody but itself.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import ConfigDict, Field
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from talker_cli.animate.live import Arrivals, frame_line
from talker_cli.animate.live_talker import LiveTalker, Speaker
from talker_cli.errors import IdentityError, InputError, OutputError, TalkerError
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.resample import RATES, Resampler
from talker_cli.formats.schema import Schema, parse
from talker_cli.identity.file import SUFFIX

MESSAGE = 1 << 16  # bytes of the largest message
BUFFER = 2.0  # seconds of sound that wait for a client's next pass; then nothing more is read
BURST = 2.0  # seconds of sound that may come at once
WRITTEN = 1 << 15  # bytes of frames that wait for the socket
KERNEL = 1 << 16  # bytes that the system buffers a socket and direction
CLOSING = 5.0  # seconds in which a client must answer the end of its connection
REASON = 123  # bytes of a close frame's reason
KEPT = 18_000  # latencies that a client's summary covers: ten minutes at 30 frames a second
NORMAL, LEAVING, MISTAKEN, FAILED, BUSY = 1000, 1001, 1008, 1011, 1013  # close codes
LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")  # pages that may connect without being named
START = '{"sample_rate": 16000, "identity": NAME, "seed": 0}, each optional, or sound'

T = TypeVar("T")
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """What clients may take.

    Args:
        clients: Clients at once.
        speed: Seconds of sound a second that are read of each client, after the first two.
        patience: Seconds that one frame may wait for a client that does not read, and a client for its first message.
    """

    clients: int = 8
    speed: float = 4.0
    patience: float = 10.0

    def __post_init__(self) -> None:
        if not self.speed >= 1:
            raise InputError(f"found {self.speed:g} times real time; expected at least 1", field="max_speed")


class _Start(Schema):
    """A client's first message."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, strict=True, extra="forbid")

    sample_rate: int = SAMPLE_RATE
    identity: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class _End(Schema):
    """A client's last message."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    end: Literal[True]


class _Refusal(Exception):
    """The end of a connection, with its close code and its reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _Allowance:
    """How much sound a client may send: `BURST` seconds at once, then `speed` seconds a second."""

    def __init__(self, speed: float) -> None:
        self._speed, self._left, self._when = speed, BURST, time.monotonic()

    def spend(self, seconds: float) -> float:
        """Take seconds of sound off; return the seconds to wait before more is read."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._when) * self._speed) - seconds
        self._when = now
        return max(0.0, -self._left / self._speed)


class _Waiting:
    """A client's sound that no pass has taken yet, `most` samples at most and one message."""

    def __init__(self, most: float) -> None:
        self._most, self._parts, self._count = most, deque[np.ndarray](), 0
        self._over = False
        self._failed: BaseException | None = None
        self._some, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, part: np.ndarray) -> None:
        """Append (S,) samples as soon as there is room."""
        while self._count >= self._most:
            self._room.clear()
            await self._room.wait()
        self._parts.append(part)
        self._count += len(part)
        self._some.set()

    def end(self, failed: BaseException | None = None) -> None:
        """Say that no more comes; `failed` is raised where the next samples are taken."""
        self._over, self._failed = True, failed
        self._some.set()

    async def take(self) -> np.ndarray | None:
        """Return all samples (S,) that wait, once there are any; None at the end."""
        await self._some.wait()
        if self._failed:
            raise self._failed
        if not self._parts:
            return None
        part = np.concatenate(self._parts)
        self._parts.clear()
        self._count = 0
        if not self._over:
            self._some.clear()
        self._room.set()
        return part


class LiveServer:
    """Serves live motion to WebSocket clients; `docs/serve.md` describes the protocol.

    Args:
        live: Loaded model and the options of all its sounds.
        identity: Identity of a client that names none.
        seed: Seed of a client that names none.
        limits: What clients may take.
        origins: Web pages' origins that may connect beside those of this machine; "*" allows all.
        on_note: Called with a line for each client that comes or goes.
    """

    def __init__(
        self,
        live: LiveTalker,
        *,
        identity: str,
        seed: int = 0,
        limits: Limits | None = None,
        origins: Sequence[str] = (),
        on_note: OnNote = lambda line: None,
    ) -> None:
        self._live, self._identity, self._seed = live, identity, seed
        self._limits, self._origins, self._on_note = limits or Limits(), origins, on_note
        self._open: dict[ServerConnection, int] = {}
        self.served = 0  # clients so far
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "talker-serve")

    async def run(self, host: str, port: int, stop: asyncio.Event, on_listening: Callable[[int], None]) -> None:
        """Serve until `stop` is set, then end every connection.

        Args:
            host: Address or name to listen on.
            port: Port, 0 for any free one.
            stop: Ends the server.
            on_listening: Called with the port once clients can connect.

        Raises:
            OutputError: the address or the port cannot be listened on.
            IdentityError: `identity` fits none, or more than one.
        """
        await self._work(self._live.start, self._identity, self._seed)  # a mistake is one now, and the model is warm
        quiet = logging.getLogger("talker.serve")
        quiet.setLevel(logging.CRITICAL)  # strangers' handshakes that fail are not our user's business
        allowed = None if "*" in self._origins else [None, LOCAL, *map(Origin, self._origins)]
        try:
            server = await serve(
                self._client, host, port, origins=allowed, compression=None, max_size=MESSAGE, max_queue=2, write_limit=WRITTEN,
                close_timeout=CLOSING, ping_timeout=None, logger=quiet,
            )  # fmt: skip
        except (OSError, UnicodeError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise OutputError(
                f"cannot listen on {host}:{port} ({why}); expected an address of this machine and a free port; give others"
            ) from error
        try:
            for listener in server.sockets:  # what connects inherits them: a slow reader fills no megabytes
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            on_listening(server.sockets[0].getsockname()[1])
            await stop.wait()
        finally:
            await self._end(server)

    async def _end(self, server: Server) -> None:
        server.close(close_connections=False)
        await asyncio.gather(*(_close(each, LEAVING, "the server ends") for each in list(self._open)))
        await server.wait_closed()
        self._threads.shutdown(cancel_futures=True)

    async def _client(self, connection: ServerConnection) -> None:
        """Serve one client from its first message to its end."""
        if len(self._open) >= self._limits.clients:
            most = self._limits.clients
            await _close(connection, BUSY, f"found {most} clients already; expected fewer; try again later")
            return
        self.served += 1
        number = self._open[connection] = self.served
        try:
            await self._converse(connection, number)
        except _Refusal as refusal:
            self._on_note(f"client {number}: {refusal}")
            await _close(connection, refusal.code, str(refusal))
        except TalkerError as error:
            self._on_note(f"client {number}: {error}")
            await _close(connection, MISTAKEN if isinstance(error, InputError | IdentityError) else FAILED, str(error))
        except ConnectionClosed:
            self._on_note(f"client {number} left (code {connection.close_code})")
        except Exception:
            logging.getLogger(__name__).exception("client %d", number)
            await _close(connection, FAILED, "an error of the server; its log has more")
        finally:
            del self._open[connection]

    async def _converse(self, connection: ServerConnection, number: int) -> None:
        try:
            async with asyncio.timeout(self._limits.patience):
                first = await connection.recv()
        except TimeoutError as error:
            reason = f"found no message within {self._limits.patience:g} s; expected {START}"
            raise _Refusal(MISTAKEN, reason) from error
        start = _Start() if isinstance(first, bytes) else _first(first)
        seed = self._seed if start.seed is None else start.seed
        speaker = await self._work(self._live.start, _named(start.identity) or self._identity, seed)
        self._on_note(f"client {number}: {speaker.name}, {start.sample_rate} Hz")
        await self._send(connection, self._live.head_line(speaker))
        sound, arrivals = _Waiting(BUFFER * start.sample_rate), Arrivals()
        listener = asyncio.create_task(
            self._listen(connection, sound, arrivals, start.sample_rate, first if isinstance(first, bytes) else b"")
        )
        try:
            frames, latencies = await self._animate(connection, speaker, sound, arrivals, Resampler(start.sample_rate))
        finally:
            listener.cancel()
        took = f", {1000 * float(np.median(latencies)):.0f} ms after their sound (median)" if latencies else ""
        self._on_note(f"client {number}: {frames} frames{took}")
        await _close(connection, NORMAL, f"{frames} frames")

    async def _listen(
        self, connection: ServerConnection, sound: _Waiting, arrivals: Arrivals, rate: int, message: str | bytes
    ) -> None:
        """Read a client's sound, no faster than it may send."""
        allowance, samples = _Allowance(self._limits.speed), 0
        try:
            while isinstance(message, bytes):
                if len(message) % 2:
                    reason = f"found a message of {len(message)} bytes; expected whole samples of 16 bits"
                    raise _Refusal(MISTAKEN, reason)
                part = (np.frombuffer(message, "<i2") / 32768.0).astype(np.float32)
                samples += len(part)
                if len(part):  # an empty message leaves no trace
                    arrivals.add(samples * SAMPLE_RATE // rate, time.monotonic())
                    await sound.put(part)
                await asyncio.sleep(allowance.spend(len(part) / rate))
                message = await connection.recv()
            _last(message)
            sound.end()
        except (_Refusal, ConnectionClosed) as ended:
            sound.end(ended)

    async def _animate(
        self, connection: ServerConnection, speaker: Speaker, sound: _Waiting, arrivals: Arrivals, resampler: Resampler
    ) -> tuple[int, Sequence[float]]:
        """Send the frames of a sound until it ends; return their number, and the seconds from their sound to them."""
        frame, fps, latencies, motion = 0, self._live.fps, deque[float](maxlen=KEPT), speaker.motion
        over = False
        while not over:
            part = await sound.take()
            over = part is None
            if part is not None:
                made = await self._work(lambda part=part: motion.push(resampler.push(part)))
            else:
                made = await self._work(lambda: np.concatenate([motion.push(resampler.finish()), motion.finish()]))
            for values in made:
                await self._send(connection, frame_line(frame, values, fps))
                latencies.append(time.monotonic() - arrivals.of(frame / fps))
                frame += 1
        return frame, latencies

    async def _send(self, connection: ServerConnection, text: str) -> None:
        try:
            async with asyncio.timeout(self._limits.patience):
                await connection.send(text)
        except TimeoutError as error:
            reason = f"found frames unread for {self._limits.patience:g} s; expected a client that reads them as they come"
            raise _Refusal(MISTAKEN, reason) from error

    async def _work(self, task: Callable[..., T], *arguments: object) -> T:
        """Run a task in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, task, *arguments)


async def _close(connection: ServerConnection, code: int, reason: str) -> None:
    """End a connection: wait a while for the client's answer, then cut it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSING):
            whole = reason.encode()
            cut = whole if len(whole) <= REASON else whole[: REASON - 3] + "…".encode()
            await connection.close(code, cut.decode(errors="ignore"))
            return
    connection.transport.abort()


def _first(message: str) -> _Start:
    """Return a client's first message, checked."""
    start = _json(_Start, message, START)
    if start.sample_rate not in RATES:
        rates = ", ".join(map(str, RATES))
        raise _Refusal(MISTAKEN, f"found a sample_rate of {start.sample_rate}; expected one of {rates}")
    return start


def _last(message: str) -> None:
    """Check a client's last message."""
    _json(_End, message, '{"end": true}, or sound')


M = TypeVar("M", _Start, _End)


def _json(schema: type[M], message: str, expected: str) -> M:
    try:
        return parse(schema, json.loads(message), "the message", InputError, expected)
    except (InputError, ValueError, RecursionError) as error:
        raise _Refusal(MISTAKEN, f"found {message[:24]!r}; expected {expected}") from error


def _named(identity: str | None) -> str | None:
    """Return a client's identity; names and mixes alone: no client opens files."""
    if identity is not None and (re.search(rf"[/\\]|{re.escape(SUFFIX)}", identity) or identity == "auto"):
        raise _Refusal(MISTAKEN, "found an identity that is no name; expected a name or a mix of names")
    return identity
