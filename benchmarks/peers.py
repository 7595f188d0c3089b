"""Rhubarb, HeadAudio, wLipSync and wawa-lipsync beside talker: on captured faces, and on voices that nobody trained on.

    npm install --prefix node/ rhubarb-lip-sync-wasm@0.1.8 @met4citizen/headaudio@0.1.0 wlipsync@1.3.1 wawa-lipsync@0.0.2
    cp wLipSync/example/profile.json node/  # of github.com/mrxz/wLipSync: the package has none, and cannot do without
    OMP_NUM_THREADS=1 python benchmarks/peers.py grid/ --node node/ --work peers/ [--unheard prepared/]

Peers give weights of visemes. Two maps make a mouth of them:

- poses: the built-in head's pose of each viseme, added by weight, as `talker_cli/avatar/shapes.toml` has them to drive
  characters with such visemes (the other way round). Those of Rhubarb are of its drawings.
- fitted: the gap of each viseme by non-negative least squares on captured training sentences: the best gaps that fixed
  visemes can have on that face. The packages that hear a live stream come late; all peers' mouths are moved forward by the
  delay (0 to 0.3 s) that fits best there, as a player delays the sound.

What they hear is the dataset's sound of 16 kHz, at the level and the rate that they expect. Closures at equal false closures
are read off the line between the shares of the opening that count as closed. Seconds are of the CPU, loading left out; with
--work, a second run takes what the packages made before.
"""

import argparse
import json
import subprocess
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import nnls
from scipy.signal import resample_poly
from unheard_voices import SHARES, rates, recordings_of

from talker_cli.animate.talker import Talker
from talker_cli.avatar.table import built_in
from talker_cli.data.dataset import Clip, Dataset, Recording
from talker_cli.data.sequences import resample_rows
from talker_cli.evaluate.captured import CAPTURE
from talker_cli.evaluate.captured_systems import Generate, evaluate_captured
from talker_cli.evaluate.face_measures import RATE, FaceMeasures, MeasuredMotion
from talker_cli.evaluate.model import loudness_coefficients
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.metrics import CLOSED_SHARE, Articulation, Phones
from talker_cli.model.noise import noise_seed
from talker_cli.rig import ARKIT_NAMES

BROWSER = 48000  # Hz: what Web Audio runs at on most machines
PEERS = {"Rhubarb": SAMPLE_RATE, "HeadAudio": BROWSER, "wLipSync": BROWSER, "wawa": BROWSER}  # sample rate it hears
LEVEL = 10 ** (-20 / 20)  # RMS of the blocks with speech that peers hear
WLIPSYNC = {"A": "aa", "I": "I", "U": "U", "E": "E", "O": "O", "S": "rest"}  # as its example moves VRM's expressions
FALSE = (0.05, 0.10)  # false closures at which closures are compared
CAPTURED, STAND_IN = "grid_s1", "FaceTalk_170725_00137_TA"  # identities on captured faces
TRAINING = 20  # sentences of the fit
DELAYS = np.arange(0.0, 0.301, 0.01)  # seconds
FPS = 60.0  # frames a second of the peers' mouths
SHOWN = ("gap_r", "gap_best_r", "gap_lag_s", "gap_error_mm", "shut_recall", "shut_precision")


@dataclass(frozen=True)
class Visemes:
    """What a peer makes of a recording: weights (T, N) of its shapes, `rate` rows a second."""

    shapes: tuple[str, ...]
    rate: float
    weights: np.ndarray
    seconds: float

    def at(self, frames: int, fps: float, delay: float) -> np.ndarray:
        """Return the weights (frames, N) that are drawn where the sound is delayed."""
        times = np.arange(len(self.weights)) / self.rate
        return resample_rows(times, self.weights, np.minimum(np.arange(frames) / fps + delay, times[-1]))


@dataclass(frozen=True)
class Mouth:
    """A motion (T, 52), the gap (T,) in mm where it is not the motion's own, and the CPU seconds that it took."""

    coefficients: np.ndarray
    fps: float
    gap: np.ndarray | None = None
    seconds: float = 0.0


Mouths = Callable[[np.ndarray, str], Mouth]  # (speech, recording) -> mouth


class Counted:
    """Closures of one system at each of SHARES, and the seconds it computed and heard."""

    def __init__(self) -> None:
        self.counts = [Articulation.empty() for _ in SHARES]
        self.computed = self.heard = 0.0

    def add(self, mouth: Mouth, gap: np.ndarray, speech: np.ndarray, phones: Phones) -> None:
        """Count a recording: its gap (T,), metres."""
        for count, share in zip(self.counts, SHARES, strict=True):
            count.add(gap, phones, mouth.fps, float(share))
        self.computed += mouth.seconds
        self.heard += len(speech) / SAMPLE_RATE

    def cells(self) -> list[str]:
        """Return closures with the false ones at the usual share, closures at FALSE, the AUC, and seconds a second."""
        curve = [rates(self.counts, share) for share in range(len(SHARES))]
        closed, false = curve[int(np.argmin(np.abs(SHARES - CLOSED_SHARE)))]
        points = np.array(sorted([(0.0, 0.0), *((wrong, right) for right, wrong in curve), (1.0, 1.0)]))
        equal = [f"{np.interp(rate, *points.T):.3f}" for rate in FALSE]
        speed = f"{self.computed / self.heard:.3f}" if self.computed else "–"
        return [f"{closed:.3f} ({false:.3f})", *equal, f"{self.counts[0].summary()['auc']:.3f}", speed]


def heard(speech: np.ndarray, rate: int) -> np.ndarray:
    """Return speech of 16 kHz at a peer's level and sample rate."""
    blocks = np.square(speech[: len(speech) // 640 * 640].reshape(-1, 640), dtype=np.float64).mean(1)
    level = np.sqrt(blocks[blocks > blocks.max() / 100].mean())  # within 20 dB of the loudest
    return np.asarray(resample_poly(speech * (LEVEL / level), rate, SAMPLE_RATE))


def visemes(peer: str, speeches: dict[str, np.ndarray], node: Path, work: Path) -> dict[str, Visemes]:
    """Return what a peer makes of recordings, each computed once."""
    folder = work / peer
    todo = [name for name in speeches if not (folder / f"{name}.wav.json").is_file()]
    for name in todo:
        samples = np.round(heard(speeches[name], PEERS[peer]) * 32768).clip(-32768, 32767).astype("<i2")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)  # a name may have a folder: that of its voice
        with wave.open(str(folder / f"{name}.wav"), "wb") as stream:
            stream.setparams((1, 2, PEERS[peer], len(samples), "NONE", ""))
            stream.writeframes(samples.tobytes())
    if todo:
        paths = "\n".join(str(folder / f"{name}.wav") for name in todo)
        command = ["node", str(Path(__file__).parents[1] / "tools" / "peers.mjs"), str(node), peer.lower()]
        subprocess.run(command, input=paths, text=True, check=True, stderr=subprocess.DEVNULL)  # Rhubarb logs each step
    found = {}
    for name in speeches:
        made = json.loads((folder / f"{name}.wav.json").read_text())
        found[name] = Visemes(tuple(made["shapes"]), made["rate"], np.array(made["weights"]), made["seconds"])
    return found


def poses_of(peer: str) -> dict[str, np.ndarray]:
    """Return the built-in head's pose (52,) of each of a peer's visemes."""
    table = built_in()
    rest = {"sil": table.mixes["rest"]}
    if peer == "Rhubarb":  # A presses the lips, X rests, H is C with a raised tongue
        return {**table.rhubarb, "A": table.mixes["PP"], "X": table.mixes["rest"], "H": table.rhubarb["C"]}
    if peer == "wLipSync":
        return {name: table.mixes[mix] for name, mix in WLIPSYNC.items()}
    return {f"viseme_{name}": pose for name, pose in {**table.mixes, **rest}.items()}


@dataclass(frozen=True)
class Map:
    """What a peer's visemes do: poses (N, 52), the gaps (N,) in mm that fit best, and the delay of the sound, seconds."""

    poses: np.ndarray
    gaps: np.ndarray
    delay: float

    def mouth(self, made: Visemes, fitted: bool) -> Mouth:
        """Return the mouth of a recording."""
        weights = made.at(max(1, int(len(made.weights) / made.rate * FPS)), FPS, self.delay)
        return Mouth(np.clip(weights @ self.poses, 0, 1), FPS, weights @ self.gaps if fitted else None, made.seconds)


def fitted(peer: str, truth: dict[str, np.ndarray], made: dict[str, Visemes]) -> Map:
    """Return a peer's map, of the delay with which fitted gaps are nearest to the captured (T,), mm at RATE, by recording."""
    shapes = next(iter(made.values())).shapes
    poses = poses_of(peer)
    found = []
    for delay in DELAYS:
        weights = np.concatenate([made[name].at(len(gap), RATE, delay) for name, gap in truth.items()])
        gaps, error = nnls(weights, np.concatenate(list(truth.values())))
        found.append((error, Map(np.array([poses[shape] for shape in shapes]), gaps, float(delay))))
    best = min(found, key=lambda each: each[0])[1]
    told = ", ".join(f"{shape.removeprefix('viseme_')} {gap:.1f}" for shape, gap in zip(shapes, best.gaps, strict=True))
    print(f"{peer}: the sound is delayed by {best.delay:.2f} s; fitted gaps, mm: {told}")
    return best


def from_talker(talker: Talker, identity: str) -> Mouths:
    """Return a model in one style."""

    def mouth(speech: np.ndarray, recording: str) -> Mouth:
        before = time.process_time()
        motion = talker.animator.coefficients(speech, identity, seed=noise_seed(0, recording))
        return Mouth(motion, talker.animator.config.fps, seconds=time.process_time() - before)

    return mouth


def from_peers(maps: dict[str, Map], made: dict[str, dict[str, Visemes]]) -> dict[str, Mouths]:
    """Return each peer with either map."""

    def mouths(peer: str, fitted: bool) -> Mouths:
        return lambda speech, recording: maps[peer].mouth(made[peer][recording], fitted)

    return {f"{peer}, {title}": mouths(peer, fitted) for peer in maps for title, fitted in (("poses", False), ("fitted", True))}


def loudness(speech: np.ndarray, recording: str) -> Mouth:
    """Return the baseline that opens the jaw with loudness."""
    return Mouth(loudness_coefficients(speech, int(len(speech) / SAMPLE_RATE * FPS), FPS, ARKIT_NAMES), FPS)


def captured_table(folder: Path, systems: dict[str, Mouths], measures: FaceMeasures) -> None:
    """Print the systems against captured test faces."""
    counted = {title: Counted() for title in systems}

    def generate(title: str) -> Generate:
        def made(speech: np.ndarray, clip: Clip, phones: Phones) -> list[MeasuredMotion]:
            mouth = systems[title](speech, clip.recording)
            motion = measures(mouth.coefficients, mouth.fps)
            if mouth.gap is not None:
                motion = replace(motion, curves={**motion.curves, "gap": mouth.gap})
            counted[title].add(mouth, 1e-3 * motion.curves["gap"], speech, phones)
            return [motion]

        return made

    report = evaluate_captured(folder, "test", {title: generate(title) for title in systems})
    bilabials = len(counted[CAPTURE].counts[0].bilabials_closed)
    print(f"\n{report.about['clips']} captured sentences, {report.about['seconds']} s, {bilabials} of /p b m/")
    header(["gap r", "best r", "late, s", "error, mm", "shut found", "right"])
    for title, count in counted.items():
        row = report.table[title]
        cells = [f"{row[key][0]:.3f}" if key in row else "–" for key in SHOWN]
        cells[0] += f" ({row['gap_r'][1]:.3f}…{row['gap_r'][2]:.3f})"
        print(f"| {title} | " + " | ".join([*cells, *count.cells()]) + " |", flush=True)


def unheard_table(data: Dataset, voices: dict[str, list[Recording]], systems: dict[str, Mouths]) -> None:
    """Print the systems on voices by language."""
    face = data.rig.rig.face
    opening = face.lip_gap_rows().T
    groups = {"all voices": list(voices)}
    groups["English"] = [voice for voice in voices if voices[voice][0].language == "en"]
    groups["other languages"] = [voice for voice in voices if voice not in groups["English"]]
    counted = {title: {group: Counted() for group in groups} for title in systems}
    for voice, recordings in voices.items():
        for recording in recordings:
            speech = data.speech(recording.name)
            for title, mouths in systems.items():
                mouth = mouths(speech, recording.name)
                gap = np.maximum(mouth.coefficients[:, : opening.shape[0]] @ opening, 0).mean(1)
                gap = gap if mouth.gap is None else 1e-3 * mouth.gap
                for group in (group for group, of in groups.items() if voice in of):
                    counted[title][group].add(mouth, gap, speech, recording.phones)
    for group, of in groups.items():
        if of:
            one = counted[next(iter(systems))][group]
            count = sum(len(voices[voice]) for voice in of)
            print(
                f"\n{group}: {len(of)} ({', '.join(of)}), {count} recordings, {one.heard:.0f} s, "
                f"{len(one.counts[0].bilabials_closed)} of /p b m/"
            )
            header([])
            for title in systems:
                print(f"| {title} | " + " | ".join(counted[title][group].cells()) + " |", flush=True)


def header(columns: list[str]) -> None:
    """Print the head of a table."""
    equal = [f"closed where {rate:.0%} are false" for rate in FALSE]
    names = ["", *columns, "closed (false)", *equal, "AUC", "s a second"]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captured", type=Path, help="Prepared dataset of `talker preprocess grid`.")
    parser.add_argument("--node", type=Path, required=True, help="Folder that npm installed into.")
    parser.add_argument("--work", type=Path, required=True, help="Folder for what the packages make.")
    parser.add_argument("--unheard", type=Path, help="Prepared corpus: voices of its split test_voice.")
    parser.add_argument("--each", type=int, default=6, help="Most recordings of an unheard voice.")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    data = Dataset(options.captured)
    measures = FaceMeasures(data.rig.rig)
    spoken = {
        split: [clip for clip in data.clips(split) if data.recordings[clip.recording].phones] for split in ("train", "test")
    }
    training = spoken["train"][:: len(spoken["train"]) // TRAINING][:TRAINING]
    speeches = {clip.recording: data.speech(clip.recording) for clip in (*training, *spoken["test"])}
    truth = {}
    for clip in training:
        seconds = min(data.frames(clip.name) / data.info.fps, data.seconds(clip.recording))
        truth[clip.recording] = measures(data.coefficients(clip.name), data.info.fps).resampled(seconds)["gap"]
    made = {peer: visemes(peer, speeches, options.node, options.work / "captured") for peer in options.peers}
    maps = {peer: fitted(peer, truth, made[peer]) for peer in options.peers}
    base, tiny = Talker.load("talker-base", device="cpu"), Talker.load("talker-tiny", device="cpu")
    peers = from_peers(maps, made)
    own = {clip.recording: clip.name for clip in spoken["test"]}
    systems = {
        CAPTURE: lambda speech, recording: Mouth(data.coefficients(own[recording]), data.info.fps),
        "loudness": loudness,
        **peers,
        f"talker-tiny as {STAND_IN}": from_talker(tiny, STAND_IN),
        f"talker-base as {STAND_IN}": from_talker(base, STAND_IN),
        f"talker-base as {CAPTURED}": from_talker(base, CAPTURED),
    }
    captured_table(options.captured, systems, measures)
    if options.unheard is None:
        return
    corpus = Dataset(options.unheard)
    voices = recordings_of(corpus, [], options.each)
    speeches = {each.name: corpus.speech(each.name) for of in voices.values() for each in of}
    made = {peer: visemes(peer, speeches, options.node, options.work / "unheard") for peer in options.peers}
    talkers = {"talker-tiny": from_talker(tiny, tiny.identities[0]), "talker-base": from_talker(base, base.identities[0])}
    unheard_table(corpus, voices, {"loudness": loudness, **from_peers(maps, made), **talkers})


if __name__ == "__main__":
    main()
