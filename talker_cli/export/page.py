"""One HTML page that plays a face with its sound in a browser, without a network: a WebGL viewer and its data."""

import base64
import html
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from talker_cli.errors import OutputError
from talker_cli.export.attribution import GENERATOR, copyright_of
from talker_cli.export.motion_clip import MotionClip
from talker_cli.export.packed_face import VIEWER, packed_face
from talker_cli.formats import ffmpeg
from talker_cli.formats.audio import playable
from talker_cli.formats.files import atomic_path

# MP3, because every browser plays it, those built without AAC too. At 48 kHz the encoder's delay is less than a frame even in
# a player that does not take it off.
MP3 = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-af", "asetpts=N/SR/TB", "-ac", "1", "-ar", "48000",
       "-c:a", "libmp3lame", "-b:a", "64k"]  # fmt: skip
MIME = "audio/mpeg"


def write_html(clip: MotionClip, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: the place cannot be written, or the sound cannot be compressed.
        MachineError: there is no ffmpeg.
    """
    rig = clip.rig
    lowest = clip.coefficients.min(axis=0).astype(np.float64)
    resolution = np.maximum(clip.coefficients.max(axis=0) - lowest, 1e-9) / 65535
    steps = np.round((clip.coefficients - lowest) / resolution).astype(np.uint16).T  # (K, T) packs better
    arrays, config = packed_face(rig, {"coefficients": steps})
    speech = b"" if clip.audio is None else _compressed(clip.audio, path)
    config |= {"coefficients": {"low": lowest.tolist(), "step": resolution.tolist()}, "fps": clip.fps}
    config["sound"] = MIME if speech else None
    identity = html.escape(clip.identity)
    sound = html.escape(clip.sound or "")
    content = {
        "generator": GENERATOR,
        "copyright": html.escape(copyright_of(rig) or ""),
        "title": f"{identity} – {sound}" if sound else identity,
        "identity": identity,
        "sound": sound,
        "style": (VIEWER / "style.css").read_text(encoding="utf-8"),
        "script": "".join((VIEWER / name).read_text(encoding="utf-8") for name in ("face.js", "player.js")),
        "config": json.dumps(config).replace("<", "\\u003c"),
        "arrays": base64.b64encode(arrays).decode(),
        "speech": base64.b64encode(speech).decode(),
    }
    pieces = (VIEWER / "page.html").read_text(encoding="utf-8").split("{{")
    # The page is UTF-8, the recording's name need not be.
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
        stream.write(pieces[0])
        for piece in pieces[1:]:
            name, rest = piece.split("}}", 1)
            stream.write(content[name])
            stream.write(rest)


def _compressed(audio: Path, output: Path) -> bytes:
    """Return a recording as MP3."""
    # Into a file, not a pipe: how much silence the encoder put in front is written last, at the front.
    with tempfile.TemporaryDirectory() as folder, playable(audio) as sound:
        place = Path(folder) / "speech.mp3"
        process = ffmpeg.start(
            [*ffmpeg.input_arguments(sound), *MP3, f"file:{place}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            _, log = process.communicate()
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            words = ffmpeg.last_words(log)
            raise OutputError(f"cannot write {output}: ffmpeg could not compress {audio} ({words}); give another file")
        return place.read_bytes()
