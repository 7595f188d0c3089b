"""Clients that `talker serve` holds in real time on this machine: `python benchmarks/serve.py --clients 1,2,4,8`.

Every client is paced as a microphone is, 0.1 s a message. Latency is from the sending of the message that holds the last sample
of a frame to the frame's arrival, look-ahead included. The clients run in a process of their own, on the same processors.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]
PART = 1600  # samples a message


async def talk(url: str, speech: np.ndarray, delay: float, latencies: list[float]) -> float:
    """Send speech as it would be spoken; return the seconds from its end to the last frame."""
    await asyncio.sleep(delay)
    sent: list[float] = []
    async with connect(url) as server:
        await server.send("{}")
        fps = json.loads(await server.recv())["fps"]

        async def send() -> None:
            began = time.monotonic()
            for at in range(0, len(speech), PART):
                await asyncio.sleep(max(0.0, began + (at + PART) / 16_000 - time.monotonic()))
                sent.append(time.monotonic())
                await server.send(speech[at : at + PART].tobytes())
            await server.send('{"end": true}')

        sending = asyncio.create_task(send())
        async for message in server:
            frame = json.loads(message)["frame"]
            latencies.append(time.monotonic() - sent[min(int((frame + 1) / fps * 16_000 / PART), len(sent) - 1)])
        await sending
        return time.monotonic() - sent[-1]


async def measure(url: str, speech: np.ndarray, clients: int) -> dict[str, float]:
    """Return latencies of so many clients at once, milliseconds, and how far behind the slowest one ended, seconds."""
    latencies: list[float] = []
    behind = await asyncio.gather(*(talk(url, speech, 0.1 * number / clients, latencies) for number in range(clients)))
    median, high = 1000 * np.percentile(latencies, [50, 95])
    return {"clients": clients, "median_ms": round(median), "p95_ms": round(high), "behind_s": round(max(behind), 2)}


def main() -> None:
    """Start a server, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", default="1,2,4,8", help="numbers of clients")
    parser.add_argument("--seconds", type=int, default=10, help="sound of each client")
    parser.add_argument("--look-ahead", default="300", help="milliseconds")
    given = parser.parse_args()
    numbers = [int(each) for each in given.clients.split(",")]
    speech = soundfile.read(ROOT / "examples" / "speech.wav", dtype="int16")[0]
    speech = np.tile(speech, -(-16_000 * given.seconds // len(speech)))[: 16_000 * given.seconds]
    command = [sys.executable, "-m", "talker_cli", "serve", "--port", "0", "--look-ahead", given.look_ahead]
    command += ["--max-clients", str(max(numbers))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        for clients in numbers:
            row = asyncio.run(measure(url, speech, clients))
            memory = Path(f"/proc/{process.pid}/statm")
            if memory.exists():
                row["server_mb"] = int(memory.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
            print(json.dumps({**row, "load": round(os.getloadavg()[0], 1)}), flush=True)
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
