"""The folder: the viewer, the student, ONNX Runtime Web, and all numbers that live animation needs, as JSON.

`site/` holds the page's own scripts. They do what `MotionStream`, `EyeMotion` and `Animator.finished` do.
"""

import hashlib
import html
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from talker_cli.animate.live_talker import check_look_ahead
from talker_cli.animate.postprocess import column_factors
from talker_cli.animate.talker import Talker
from talker_cli.corpus.articulate.emotion import mood
from talker_cli.corpus.articulate.eyes import NAMES as EYES
from talker_cli.data.emotions import ALWAYS, Spans, check_names, strengths
from talker_cli.errors import InputError, ModelError
from talker_cli.export.attribution import GENERATOR, copyright_of
from talker_cli.export.packed_face import VIEWER, packed_face
from talker_cli.formats.files import atomic_folder
from talker_cli.identity.resolve import ResolvedIdentity
from talker_cli.model.config import COMPACT, MAX_TIMESTEP, WHISPER
from talker_cli.model.folder import GRAPH
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.page.runtime import FILES
from talker_cli.render.avatar import Avatar, read_avatar
from talker_cli.rig import ARKIT_NAMES, Rig, face_names

SITE = Path(__file__).parent / "site"
LICENCES = ("LICENSE", "ThirdPartyNotices.txt")  # of ONNX Runtime, as its Python package has them
OFFLINE = "offline.js"  # keeps the others, and so is not among them


def write_page(
    folder: Path, talker: Talker, title: str, rig: Rig, live: Mapping[str, object], runtime: Mapping[str, Path]
) -> None:
    """Write the folder, in place of an earlier one that this wrote.

    Args:
        folder: Place of the folder.
        talker: Model, loaded.
        title: Shown over the face.
        rig: The face; its coefficients are some of the model's, in any order.
        live: What `live_numbers` gives for the model.
        runtime: Files of ONNX Runtime Web by their names in the folder.

    Raises:
        OutputError: the folder cannot be written, or holds other files.
    """
    packed, face = packed_face(rig)
    content = {
        "title": html.escape(title),
        "generator": GENERATOR,
        "copyright": html.escape(copyright_of(rig) or ""),
    }
    own = [path for path in SITE.iterdir() if path.suffix in (".html", ".js", ".css")]
    with atomic_folder(folder, replaceable(folder)) as made:
        for path in [*own, VIEWER / "face.js"]:
            text = re.sub(r"{{(title|generator|copyright)}}", lambda match: content[match[1]], path.read_text(encoding="utf-8"))
            (made / path.name).write_text(text, encoding="utf-8", newline="\n")
        (made / "site.json").write_text(json.dumps({"face": face, "live": live}), encoding="utf-8")
        (made / "face.bin").write_bytes(packed)
        shutil.copyfile(talker.weights.with_suffix(GRAPH), made / "student.onnx")
        for name, path in runtime.items():
            shutil.copyfile(path, made / name)
        names = sorted(path.name for path in made.iterdir() if path.name != OFFLINE)
        version = hashlib.sha256(b"".join((made / name).read_bytes() for name in names)).hexdigest()[:16]
        text = (made / OFFLINE).read_text(encoding="utf-8").replace("{{version}}", version)
        (made / OFFLINE).write_text(text.replace("{{files}}", json.dumps(["./", *names])), encoding="utf-8", newline="\n")
        for path in _licences():
            shutil.copyfile(path, made / f"ort.{path.name}")


def check_model(talker: Talker) -> OnnxRunner:
    """Return the student of a model that browsers run.

    Raises:
        InputError: it is no student, or reads features that a page does not make.
        ModelError: its graph is missing.
    """
    runner, config = talker.animator.runner, talker.animator.config
    if config.kind == "student" and config.audio_encoder == WHISPER:
        raise InputError(
            f"found {talker.folder.name}, a student that reads Whisper's features, which a page does not make; "
            "expected one with the compact audio encoder; give another model",
            field="model",
        )
    if config.kind != "student" or config.audio_encoder != COMPACT:
        raise InputError(f"found a {config.kind}; expected a student with the compact audio encoder (talker distill)", "model")
    if not isinstance(runner, OnnxRunner):
        raise ModelError(f"found no {GRAPH} beside {talker.weights}; expected it; run: talker export-model {talker.folder}")
    return runner


def read_character(path: Path, names: tuple[str, ...], fps: float) -> Avatar:
    """Return a user's character, whose rig is painted at its vertices.

    Args:
        path: A .glb or .vrm.
        names: Names of the model's coefficients.
        fps: Its frames a second.

    Raises:
        InputError: the file cannot be read, or is not driven by ARKit's shapes alone.
    """
    avatar = read_avatar(path, names, fps)
    if others := [name for name in avatar.rig.names if name not in names]:
        raise InputError(f"{path} is driven by {', '.join(others)[:160]}; expected ARKit's shapes, as jawOpen", field="avatar")
    return avatar


def live_numbers(
    talker: Talker,
    identity: ResolvedIdentity,
    *,
    look_ahead: float = 300.0,
    seed: int = 0,
    head: float = 1.0,
    only: str | None = None,
    emotion: Spans = (),
) -> dict[str, object]:
    """Return what `site/stream.js` must know of a model and its options, as JSON-able values.

    Args:
        talker: Model, loaded: a student with the compact audio encoder.
        identity: Identity of the face.
        look_ahead: Look-ahead in milliseconds.
        seed: Seed of the noise.
        head: Scale of the head's rotation.
        only: Part of the face that moves, None for all.
        emotion: Emotions that last.

    Raises:
        InputError: an option does not fit the model, or browsers do not run it.
        ModelError: the model's graph is missing.
    """
    runner, config = check_model(talker), talker.animator.config
    check_look_ahead(look_ahead)
    check_names(emotion, config.emotions)
    if any(span != (0.0, ALWAYS, *span[2:]) for span in emotion):
        raise InputError("found a time line; expected an emotion that lasts, as happy=0.6: a page has no end", field="emotion")
    frames = round(look_ahead / 1000 * config.fps)
    factors = column_factors(config.names, head=head, only=only)
    stream = talker.animator.stream(identity.condition, seed=seed, head=head, look_ahead=frames)
    eyes = None if stream.eyes is None else stream.eyes.style
    offset = identity.condition.offset
    if offset is not None:
        offset = np.where(np.isin(config.names, EYES), np.float32(0), offset)  # as `Animator.finished` adds it
    return {
        "names": list(config.names),
        "fps": config.fps,
        "melsPerFrame": config.mels_per_frame,
        "encoderHalo": config.encoder_halo,
        "denoiserHalo": config.denoiser_halo,
        "timesteps": [step / MAX_TIMESTEP for step in config.timesteps],
        "temperature": stream.temperature.tolist(),
        "kernels": stream.kernels.tolist(),
        "mean": runner.mean.tolist(),
        "std": runner.std.tolist(),
        "style": identity.condition.style.tolist(),
        "offset": None if offset is None else offset.tolist(),
        "bounded": len(ARKIT_NAMES) if face_names(config.names) == ARKIT_NAMES else 0,
        "factors": None if factors is None else factors.tolist(),
        "eyes": None if eyes is None else {"style": asdict(eyes), "mood": _mood(emotion), "head": head},
        "emotion": strengths(emotion, config.emotions, np.zeros(1))[0].tolist() or None,
        "seed": str(seed),
        "lookAhead": frames,
        "inputs": runner.inputs,
    }


def _mood(emotion: Spans) -> dict[str, float]:
    """Return what lasting emotions change of the eyes."""
    return {name: float(value[0]) for name, value in asdict(mood(emotion, np.zeros(1))).items()}


def replaceable(folder: Path) -> Callable[[str], bool] | None:
    """Return what says whether a file of the folder may go for a new page; None, for none, where it holds no page."""
    own = {path.name for path in SITE.iterdir()} | {f"ort.{name}" for name in LICENCES}
    own |= {"face.js", "site.json", "face.bin", "student.onnx", *FILES}
    return own.__contains__ if (folder / "site.json").is_file() else None


def _licences() -> list[Path]:
    """Return the licence of ONNX Runtime, and those of its parts."""
    found = importlib.util.find_spec("onnxruntime")
    folder = Path(str(found.origin)).parent if found else Path()
    return [path for name in LICENCES if (path := folder / name).is_file()]
