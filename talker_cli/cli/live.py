"""What `animate --stream` does: sound from a pipe, frames to another or to Unreal."""

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from talker_cli.cli.options import note

KEPT = 108_000  # latencies, of an hour at 30 frames a second: it may run for days


def animate_live(
    sources: Sequence[str],
    outputs: Sequence[Path],
    *,
    identity: str,
    style_scale: float,
    library: Path | None,
    seed: int,
    look_ahead: float,
    steps: str,
    device: str,
    model: str,
) -> None:
    """Animate standard input until it ends.

    Args:
        sources: has to be `-` alone.
        outputs: `-` or `udp://ADDRESS:PORT`.
        look_ahead: milliseconds.
    """
    from talker_cli.errors import InputError, OutputError

    if list(sources) != ["-"] or sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "found --stream without sound on stdin; expected it: arecord -f S16_LE -r 16000 | talker animate - --stream"
        )
    place = str(outputs[0]) if outputs else "-"
    from talker_cli.animate.live import JsonLines, Listener, LiveLink, Sink, check_live, check_live_link, parse_udp, run_live
    from talker_cli.animate.talker import Talker

    address = parse_udp(place)
    if len(outputs) > 1 or (place != "-" and address is None):
        raise OutputError(f"found -o {place} with --stream; expected one: - for JSON lines, or udp://127.0.0.1:11111")
    if not 0 <= look_ahead <= 60_000:
        raise InputError(f"found --look-ahead {look_ahead:g}; expected 0 to 60000 milliseconds")
    talker = Talker.load(model, steps=steps, device=device)
    check_live(talker.animator)
    chosen, animator = talker.who(identity, style_scale=style_scale, library=library), talker.animator
    name = chosen.name
    fps = animator.network.config.fps
    frames = round(look_ahead / 1000 * fps)
    sink: Sink
    if address is None:
        about: dict[str, object] = {"identity": name, "sampler": animator.sampler, "seed": seed, "look_ahead": frames / fps}
        sink = JsonLines(sys.stdout, animator.network.config.names, fps, about)
    else:
        check_live_link(animator)
        sink = LiveLink(*address, name, fps)
    note(f"{name}, {animator.sampler}, look-ahead {1000 * frames / fps:.0f} ms; Ctrl-C ends it")
    latencies: deque[float] = deque(maxlen=KEPT)
    try:
        run_live(
            animator,
            chosen.manner,
            Listener(sys.stdin.fileno()),
            sink,
            look_ahead=frames,
            seed=seed,
            on_latency=latencies.append,
        )
    finally:
        if latencies:
            late = sorted(1000 * each for each in latencies)
            middle, most = late[len(late) // 2], late[int(0.95 * len(late))]
            note(f"the last {len(late)} frames, {middle:.0f} ms after their sound (median; 95 % within {most:.0f} ms)")
