"""The WebSocket server: real sockets, real clients, the shipped model."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Command, spoken
from test_daily import start
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from talker_cli import Talker
from talker_cli.animate.live import frame_line
from talker_cli.animate.live_talker import LiveTalker
from talker_cli.animate.serve import BURST, CLOSING, MESSAGE, WRITTEN, Limits, LiveServer
from talker_cli.formats.resample import RATES, Resampler

ROOT = Path(__file__).parents[1]
WHO, OTHER = "FaceTalk_170725_00137_TA", "FaceTalk_170728_03272_TA"
LOOK_AHEAD = 34  # milliseconds: a frame, so that each part of a sound makes frames
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def pcm(samples: np.ndarray) -> bytes:
    return np.round(32767 * samples).astype("<i2").tobytes()


SPEECH = pcm(soundfile.read(ROOT / "examples" / "speech.wav", frames=24_000)[0])
# The first 4096 bytes are what a pipe is recognised by: they come alone there.
PARTS = [SPEECH[:4096], *(SPEECH[at : at + 6400] for at in range(4096, len(SPEECH), 6400))]


@pytest.fixture(scope="module")
def live() -> LiveTalker:
    """The shipped student."""
    return LiveTalker(Talker.load(), look_ahead=LOOK_AHEAD)


def in_process(
    live: LiveTalker, parts: Sequence[bytes], identity: str = WHO, seed: int = 0, rate: int = 16_000
) -> list[list[str]]:
    """Return the lines of each part of a sound, and of its end, without any server."""
    motion, converter, frame, lines = live.start(identity, seed).motion, Resampler(rate), 0, []
    pushed = [motion.push(converter.push((np.frombuffer(part, "<i2") / 32768).astype(np.float32))) for part in parts]
    last = np.concatenate([motion.push(converter.finish()), motion.finish()])
    for made in [*pushed, last]:
        lines.append([frame_line(frame + row, values, live.fps) for row, values in enumerate(made)])
        frame += len(made)
    return lines


@asynccontextmanager
async def serving(
    live: LiveTalker, notes: list[str] | None = None, origins: Sequence[str] = (), **limits: float
) -> AsyncIterator[str]:
    """Serve on a free port of this machine; yield the URL."""
    told = [] if notes is None else notes
    server = LiveServer(live, identity=WHO, limits=Limits(**limits), origins=origins, on_note=told.append)
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.run("127.0.0.1", 0, stop, port.set_result))
    await asyncio.wait([task, port], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"ws://127.0.0.1:{port.result()}"
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 100))


async def in_step(client: ClientConnection, parts: Sequence[bytes], counts: Sequence[int]) -> list[list[str]]:
    """Send each part when the frames of the one before it are there; return the lines of each, and of the end."""
    lines = []
    for part, count in zip([*parts, '{"end": true}'], counts, strict=True):
        await client.send(part)
        lines.append([str(await client.recv()) for _ in range(count)])
    return lines


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Read to the end; return the close code and the reason that came."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await client.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.slow
def test_curves_are_those_of_a_pipe(live: LiveTalker, tmp_path: Path) -> None:
    """Breaks if a client of the server gets other curves than `animate --stream`, or Ctrl-C leaves it without an end."""
    expected = in_process(live, PARTS, seed=3)
    counts = [len(lines) for lines in expected]
    assert min(counts[1:]) > 0 and sum(counts) == 45  # a frozen encoder may wait for more than the first part
    options = ("--identity", WHO[:15], "--look-ahead", LOOK_AHEAD, "--seed", 3)

    process = start("animate", "-", "--stream", *options, cwd=tmp_path, stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    piped = [process.stdout.readline().decode().strip()]
    for part, count in zip(PARTS, counts, strict=False):
        process.stdin.write(part)
        process.stdin.flush()
        piped += [process.stdout.readline().decode().strip() for _ in range(count)]
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    piped += rest.decode().splitlines()

    process = start("serve", "--port", 0, *options, cwd=tmp_path)
    assert process.stdout is not None
    url = process.stdout.readline().decode().strip()
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+", url), url

    async def test() -> None:
        async with connect(url) as client, connect(url) as idle:
            await client.send('{"sample_rate": 16000}')
            served = [str(await client.recv())]
            for lines in await in_step(client, PARTS, counts):
                served += lines
            assert await closed(client) == (1000, "45 frames")
            assert served == piped and served[1:] == [line for lines in expected for line in lines]
            process.send_signal(signal.SIGINT)
            assert await closed(idle) == (1001, "the server ends")

    run(test)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and out == b"", err
    lines = err.decode().splitlines()
    assert lines[-1] == "talker: ended; 2 clients served" and all(line.startswith("talker: ") for line in lines), err


@pytest.mark.slow
def test_clients_do_not_mix(live: LiveTalker) -> None:
    """Breaks if a client's curves depend on who else speaks, or its identity, its seed or its sound are another's."""
    sounds = [PARTS, [pcm(spoken(1.6))[at : at + 8000] for at in range(0, 51_200, 8000)], PARTS]
    told = [(WHO, 0), (OTHER, 5), (OTHER, 0)]
    expected = [in_process(live, parts, *who) for parts, who in zip(sounds, told, strict=True)]
    assert len({json.dumps(lines) for lines in expected}) == 3

    async def test() -> None:
        async def talk(number: int) -> list[list[str]]:
            async with connect(url) as client:
                await client.send(json.dumps({"identity": told[number][0], "seed": told[number][1]}))
                head = json.loads(await client.recv())
                assert (head["identity"], head["seed"], head["fps"]) == (*told[number], 30.0)
                assert tuple(head["names"]) == live.names
                return await in_step(client, sounds[number], [len(lines) for lines in expected[number]])

        async with serving(live) as url:
            assert await asyncio.gather(*map(talk, range(3))) == expected

    run(test)


FIRST = '{"sample_rate": 16000, "identity": NAME, "seed": 0}, each optional, or sound'
BAD = {
    "hello": f"found 'hello'; expected {FIRST}",
    "[]": f"found '[]'; expected {FIRST}",
    '{"rate": 16000}': f"""found '{{"rate": 16000}}'; expected {FIRST}""",
    '{"sample_rate": "16000"}': f"""found '{{"sample_rate": "16000"}}'; expected {FIRST}""",
    '{"seed": -1}': f"""found '{{"seed": -1}}'; expected {FIRST}""",
    '{"end": true}': f"""found '{{"end": true}}'; expected {FIRST}""",
    "[" * 5000: f"found '{24 * '['}'; expected {FIRST}",
    '{"sample_rate": 44099}': f"found a sample_rate of 44099; expected one of {', '.join(map(str, RATES))}",
    '{"identity": "nobody"}': "no identity 'nobody'; expected one of FaceTalk_17",
    '{"identity": "auto"}': "found an identity that is no name; expected a name or a mix of names",
    '{"identity": "/etc/me.safetensors"}': "found an identity that is no name; expected a name or a mix of names",
    '{"identity": "FaceTalk_170725,me.safetensors"}': "found an identity that is no name; expected a name or a mix of names",
    b"abc": "found a message of 3 bytes; expected whole samples of 16 bits",
}


def test_a_bad_first_message_is_refused(live: LiveTalker) -> None:
    """Breaks if a program's mistake is taken for sound, opens files, or ends without a reason."""

    async def test() -> None:
        notes: list[str] = []
        async with serving(live, notes, patience=0.4) as url:
            for message, reason in BAD.items():
                async with connect(url) as client:
                    await client.send(message)
                    code, found = await closed(client)
                    assert code == 1008 and len(found.encode()) <= 123, found
                    assert found == reason or (found.endswith("…") and found.startswith(reason)), found
            async with connect(url) as client:
                code, found = await closed(client)
                assert code == 1008 and found.startswith("found no message within 0.4 s; expected {"), found
            async with connect(url) as client:  # and a bad last one
                await client.send("{}")
                await client.recv()
                await client.send('{"end": false}')
                reason = """found '{"end": false}'; expected {"end": true}, or sound"""
                assert await closed(client) == (1008, reason)
        assert sum(reason in "\n".join(notes) for reason in BAD.values()) == len(BAD)

    run(test)


def test_a_message_beyond_the_limit_is_refused(live: LiveTalker) -> None:
    """Breaks if a client can make the server hold a message of any size, or the limit itself is refused."""

    async def test() -> None:
        async with serving(live) as url, connect(url) as client:
            await client.send(bytes(65_536))
            assert "names" in json.loads(await client.recv())
            await client.send(bytes(65_538))
            code, reason = await closed(client)
            assert code == 1009 and "65536" in reason, reason

    run(test)


def test_too_many_clients_are_refused(live: LiveTalker) -> None:
    """Breaks if clients beyond the limit slow the others down, or a place that became free stays taken."""

    async def test() -> None:
        async with serving(live, clients=2) as url:
            async with connect(url) as one, connect(url) as two:
                for client in (one, two):
                    await client.send("{}")
                    await client.recv()
                async with connect(url) as three:
                    assert await closed(three) == (1013, "found 2 clients already; expected fewer; try again later")
            for _ in range(100):  # until the server has seen that they left
                async with connect(url) as client:
                    await client.send("{}")
                    try:
                        assert json.loads(await client.recv())["identity"] == WHO
                        break
                    except ConnectionClosed:
                        await asyncio.sleep(0.02)
            else:
                raise AssertionError("no place became free")

    run(test)


def narrow(url: str) -> socket.socket:
    """Return a connection that buffers next to nothing."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    small.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    return small


@pytest.mark.slow
def test_a_slow_reader_is_closed_and_holds_nobody_up(live: LiveTalker) -> None:
    """Breaks if frames that nobody reads, or the sound behind them, fill the memory."""
    expected = in_process(live, PARTS)

    async def test() -> None:
        notes: list[str] = []
        async with (
            serving(live, notes, patience=1.5, speed=1000) as url,
            connect(url, sock=narrow(url), compression=None, max_queue=1) as slow,
        ):
            seconds = 0.0

            async def pump() -> None:
                nonlocal seconds
                while True:
                    await slow.send(bytes(16_000))
                    seconds += 0.5

            pumping = asyncio.create_task(pump())
            for _ in range(600):
                await asyncio.sleep(0.1)
                if any("unread" in note for note in notes):
                    break
            async with connect(url) as client:
                await client.send("{}")
                await client.recv()
                assert await in_step(client, PARTS, [len(lines) for lines in expected]) == expected
            pumping.cancel()
            assert 3 < seconds < 60, seconds  # 700 bytes a frame: what fits into the buffers, and no more
            reason = "found frames unread for 1.5 s; expected a client that reads them as they come"
            assert await closed(slow) == (1008, reason)

    run(test)


@pytest.mark.slow
def test_a_client_that_hangs_does_not_keep_the_server(live: LiveTalker) -> None:
    """Breaks if Ctrl-C waits for a client that neither reads nor answers."""

    async def test() -> None:
        async with serving(live, speed=1000) as url:
            hung = narrow(url)
            request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            hung.sendall(f"{request}Sec-WebSocket-Key: {22 * 'A'}==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
            frame = bytes([0x82, 0xFE, 0xFF, 0xFE, 0, 0, 0, 0]) + bytes(65_534)  # 2 s of silence, masked with zeros
            hung.setblocking(False)
            written, quiet = 0, 0
            while quiet < 20:  # until the server reads no more
                try:
                    written += hung.send(frame[written % len(frame) :])
                    quiet = 0
                except BlockingIOError:
                    quiet += 1
                await asyncio.sleep(0.05)
            assert written > 3 * len(frame)
            began = time.monotonic()
        assert time.monotonic() - began < CLOSING + 3
        hung.close()

    run(test)


@pytest.mark.slow
def test_sound_comes_no_faster_than_allowed(live: LiveTalker) -> None:
    """Breaks if a client that sends a file at once takes the network from the others, or loses frames to the brake."""

    async def test() -> None:
        async with serving(live, speed=2) as url, connect(url) as client:
            began = time.monotonic()
            for _ in range(60):
                await client.send(bytes(3200))
            await client.send('{"end": true}')
            lines = [await client.recv() for _ in range(181)]
            assert json.loads(lines[-1])["frame"] == 179
            assert time.monotonic() - began > (6 - 2) / 2 - 0.1
            assert await closed(client) == (1000, "180 frames")

    run(test)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_sound_of_another_rate_is_converted(live: LiveTalker, rate: int) -> None:
    """Breaks if the rate that a client states is not that of its sound, or messages leave seams."""
    sound = pcm(spoken(1.5, rate))
    parts = [sound[at : at + rate // 5 * 2] for at in range(0, len(sound), rate // 5 * 2)]
    expected = in_process(live, parts, rate=rate)
    counts = [len(lines) for lines in expected]
    assert min(counts[1:]) > 0 and sum(counts) == 45

    async def test() -> None:
        async with serving(live) as url, connect(url) as client:
            await client.send(json.dumps({"sample_rate": rate}))
            await client.recv()
            assert await in_step(client, parts, counts) == expected
            assert await closed(client) == (1000, "45 frames")

    run(test)


def test_pages_of_strangers_cannot_connect(live: LiveTalker) -> None:
    """Breaks if any page that a browser shows can use the server of this machine."""

    async def test() -> None:
        async with serving(live, origins=["https://example.org"]) as url:
            for origin in ("http://localhost:3000", "https://127.0.0.1", "https://example.org", None):
                async with connect(url, origin=origin) as client:
                    await client.send("{}")
                    await client.recv()
            for origin in ("https://evil.org", "null", "http://localhost.evil.org", "https://example.org.evil.org"):
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(url, origin=origin)
        async with serving(live, origins=["*"]) as url, connect(url, origin="https://evil.org") as client:
            await client.send("{}")
            await client.recv()

    run(test)


def test_an_empty_sound_ends(live: LiveTalker) -> None:
    """Breaks if a client that changes its mind gets an error for it."""

    async def test() -> None:
        async with serving(live) as url:
            for messages in (["{}"], [b""], ["{}", b"", b"\0\0"]):
                async with connect(url) as client:
                    for message in [*messages, '{"end": true}']:
                        await client.send(message)
                    await client.recv()
                    assert await closed(client) == (1000, "0 frames")

    run(test)


@pytest.mark.slow
def test_empty_messages_leave_no_trace(live: LiveTalker) -> None:
    """Breaks if a client fills the memory with messages that hold nothing."""

    async def test() -> None:
        async with serving(live) as url, connect(url) as client:
            await client.send("{}")
            await client.recv()
            tracemalloc.start()
            try:
                for _ in range(10_000):
                    await client.send(b"")
                for _ in range(200):  # until all of them are read
                    await asyncio.sleep(0.05)
                    if (grown := tracemalloc.get_traced_memory()[0]) < 300_000:
                        break
            finally:
                tracemalloc.stop()
            assert grown < 300_000, grown  # an entry for each takes 650,000

    run(test)


def test_mistakes_of_the_command_are_one_line(invoke: Command) -> None:
    """Breaks if a wrong option, a taken port or the missing extra ends in a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = invoke("serve", "--port", port)
        assert ran.code == 2 and f"cannot listen on 127.0.0.1:{port} (" in ran.err.splitlines()[-1], ran.err
    assert "found --look-ahead" not in invoke("serve", "--look-ahead", -1).mistake
    assert "(--look-ahead)" in invoke("serve", "--look-ahead", "nan").mistake
    assert "no identity 'nobody'" in invoke("serve", "--port", 0, "--identity", "nobody").err.splitlines()[-1]
    assert "--max-speed" in invoke("serve", "--max-speed", 0.5).mistake
    code = "import sys; sys.modules['websockets'] = None; from talker_cli.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    expected = "talker: found no websockets; expected it for this; run: pip install 'talker-cli[serve]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def documented(language: str) -> str:
    """Return the documentation's client in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    assert found
    return found[1]


def node() -> list[str]:
    """Return how to run a script with a global WebSocket, empty where there is no such Node."""
    program = shutil.which("node")
    if program is None:
        return []
    version = int(
        subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip("v").split(".")[0]
    )
    return [program] if version >= 22 else [program, "--experimental-websocket"] if version >= 20 else []


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "js"])
def test_the_documented_clients_work(live: LiveTalker, tmp_path: Path, language: str) -> None:
    """Breaks if somebody who copies a client from the documentation gets anything but the motion of the jaw."""
    script = tmp_path / {"python": "client.py", "js": "client.mjs"}[language]
    script.write_text(documented(language))
    command = [sys.executable] if language == "python" else node()
    if not command:
        pytest.skip("no Node with WebSocket")
    soundfile.write(tmp_path / "s.wav", spoken(1.5, 24_000), 24_000, subtype="PCM_16")

    async def test() -> None:
        async with serving(live) as url:
            process = await asyncio.create_subprocess_exec(
                *command, script, url, tmp_path / "s.wav", stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err
            times, jaw = np.array([line.split() for line in out.decode().splitlines()], float).T
            assert np.allclose(times, np.arange(45) / 30, atol=1e-3) and jaw.max() > 0.1 > jaw.min()

    run(test)


def test_the_documented_limits_are_the_servers() -> None:
    """Breaks if the page names other limits than the server has."""
    assert f"{MESSAGE:,} bytes" in PAGE and f"{BURST:g} s at once" in PAGE and f"{WRITTEN // 1024} KB" in PAGE
    assert ", ".join(map(str, RATES[4:-1])) in PAGE and f"after {Limits.patience:g} s" in PAGE
    assert f"--max-clients {Limits.clients}`" in PAGE and f"--max-speed {Limits.speed:g}`" in PAGE
