"""The command that animates live sound for other programs."""

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from talker_cli.cli.animate import EmotionOption, HeadOption, OnlyOption, ScaleOption, StepsOption
from talker_cli.cli.options import (
    DEFAULT_MODEL,
    DeviceOption,
    IdentityOption,
    LibraryOption,
    ModelOption,
    SeedOption,
    examples,
    guarded,
    note,
    one_thread,
    result,
)
from talker_cli.model.folder import DEFAULT_IDENTITY

if TYPE_CHECKING:
    from talker_cli.animate.serve import LiveServer

LOOPBACK = ("127.0.0.1", "::1", "localhost")

HostOption = Annotated[str, typer.Option(help="Address to listen on. 0.0.0.0 is every address of this machine.")]
PortOption = Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes any free one.")]
LookAheadOption = Annotated[float, typer.Option(help="Look-ahead in ms: higher quality, higher latency.")]
MaxClientsOption = Annotated[int, typer.Option(min=1, max=1000, help="Clients at once; the next one is refused.")]
MaxSpeedOption = Annotated[
    float, typer.Option(min=1, max=1000, help="Speed at which a client's sound is read, times real time, after its first 2 s.")
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Origin of web pages that may connect, such as https://example.org, null for files, or * for all.",
        show_default="this machine's",
    ),
]


@examples("talker serve", "talker serve --identity FaceTalk_170725 --port 9000 --look-ahead 200")
@guarded
def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8765,
    identity: IdentityOption = DEFAULT_IDENTITY,
    look_ahead: LookAheadOption = 300.0,
    max_clients: MaxClientsOption = 8,
    max_speed: MaxSpeedOption = 4.0,
    origin: OriginOption = None,
    steps: StepsOption = "8",
    seed: SeedOption = 0,
    style_scale: ScaleOption = 1.0,
    library: LibraryOption = None,
    head: HeadOption = 1.0,
    only: OnlyOption = None,
    emotion: EmotionOption = None,
    device: DeviceOption = "auto",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Animate live sound of other programs: WebSocket clients send PCM and receive frames as JSON.

    One model serves all clients; Ctrl-C ends it. There is no password and no encryption: by default only this machine connects.
    """
    one_thread()
    import asyncio  # takes a tenth of the time of `--help`

    from talker_cli.animate.live_talker import LiveTalker, check_look_ahead
    from talker_cli.animate.serve import Limits, LiveServer
    from talker_cli.animate.talker import Talker
    from talker_cli.data.emotions import parse_emotions

    check_look_ahead(look_ahead)
    limits = Limits(clients=max_clients, speed=max_speed)
    spans = () if emotion is None else parse_emotions(emotion)
    talker = Talker.load(model, steps=steps, device=device)
    live = LiveTalker(
        talker, look_ahead=look_ahead, style_scale=style_scale, library=library, head=head, only=only, emotion=spans
    )
    server = LiveServer(live, identity=identity, seed=seed, limits=limits, origins=origin or (), on_note=note)
    if host not in LOOPBACK:
        note(f"whoever reaches {host} can connect: there is no password and no encryption")
    ahead = 1000 * live.look_ahead / live.fps
    note(f"{talker.animator.sampler}, look-ahead {ahead:.0f} ms, at most {max_clients} clients; Ctrl-C ends it")
    asyncio.run(_until_interrupted(server, host, port))
    note(f"ended; {server.served} client{'' if server.served == 1 else 's'} served")


async def _until_interrupted(server: "LiveServer", host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    import asyncio

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda number, frame: loop.call_soon_threadsafe(stop.set))
    shown = f"[{host}]" if ":" in host else host
    try:
        await server.run(host, port, stop, lambda port: result(f"ws://{shown}:{port}"))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
