"""The worker of `animate --stream`: sound from standard input, frames to standard output or over UDP."""

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from talker_cli.cli.options import note

KEPT = 108_000  # latencies that the summary covers: an hour at 30 frames a second


def animate_live(
    sources: Sequence[str],
    outputs: Sequence[Path],
    *,
    identity: str,
    style_scale: float,
    library: Path | None,
    seed: int,
    head: float,
    only: str | None,
    look_ahead: float,
    steps: str,
    device: str,
    model: str,
    emotion: str | None = None,
) -> None:
    """Animate standard input until it ends.

    Args:
        sources: Recordings as given; `-` alone is allowed.
        outputs: Outputs as given: at most one, `-`, `udp://ADDRESS:PORT` or `vmc://ADDRESS:PORT`.
        identity: Name, mix or file.
        style_scale: Strength of the identity's style, 1 = as it is.
        library: Folder of enrolled identities, None for the user's own.
        seed: Seed of the noise.
        head: Scale of the head's rotation.
        only: Part of the face that moves, None for all.
        look_ahead: Look-ahead in milliseconds.
        steps: Denoising steps.
        device: "auto", "cpu", "cuda" or "mps".
        model: Built-in name or folder.
        emotion: Emotions as given, None for a neutral face.

    Raises:
        TalkerError: an option, the model, the identity or the sound cannot be used.
    """
    from talker_cli.errors import InputError, OutputError

    if list(sources) != ["-"] or sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "found --stream without sound on stdin; expected it: arecord -f S16_LE -r 16000 | talker animate - --stream"
        )
    output = str(outputs[0]) if outputs else "-"
    from talker_cli.animate.live import JsonLines, Sink, SpeechPipe, check_arkit, run_live
    from talker_cli.animate.live_talker import LiveTalker, check_look_ahead
    from talker_cli.animate.talker import Talker
    from talker_cli.animate.udp import LiveLink, Vmc, parse_live
    from talker_cli.data.emotions import parse_emotions

    address = parse_live(output)
    if len(outputs) > 1 or (output != "-" and address is None):
        raise OutputError(
            f"found -o {output} with --stream; expected one: - for JSON lines, udp://127.0.0.1:11111 for Live Link, or "
            "vmc://127.0.0.1:39539 for VMC"
        )
    check_look_ahead(look_ahead)
    spans = () if emotion is None else parse_emotions(emotion)
    talker = Talker.load(model, steps=steps, device=device)
    live = LiveTalker(
        talker, look_ahead=look_ahead, style_scale=style_scale, library=library, head=head, only=only, emotion=spans
    )
    speaker = live.start(identity, seed)
    fps = live.fps
    sink: Sink
    if address is None:
        sink = JsonLines(sys.stdout, live.names, fps, speaker.about)
    else:
        check_arkit(talker.animator)
        scheme, host, port, presets = address
        sink = Vmc(host, port, fps, presets) if scheme == "vmc" else LiveLink(host, port, speaker.name, fps)
    note(f"{speaker.name}, {talker.animator.sampler}, look-ahead {1000 * live.look_ahead / fps:.0f} ms; Ctrl-C ends it")
    latencies: deque[float] = deque(maxlen=KEPT)
    try:
        run_live(speaker.motion, fps, SpeechPipe(sys.stdin.fileno(), note), sink, latencies.append)
    finally:
        if latencies:
            ordered = sorted(1000 * each for each in latencies)
            median, high = ordered[len(ordered) // 2], ordered[int(0.95 * len(ordered))]
            note(f"the last {len(ordered)} frames: {median:.0f} ms after their sound (median), 95 % within {high:.0f} ms")
