"""From a folder of recordings to an identity, by the real command line, with a small network of random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, CommandResult, Talker, ffmpeg

from talker_cli.formats.audio import load_speech
from talker_cli.formats.files import file_hash
from talker_cli.identity.file import load_identity
from talker_cli.identity.resolve import style_space
from talker_cli.identity.vad import detect_speech
from talker_cli.model.folder import main_weights
from talker_cli.rig import RigFile, save_rig

SPEECH = Path(__file__).parents[1] / "examples" / "speech.wav"


def write(path: Path, sound: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, 16_000)
    return path


def chord(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * 16_000)) / 16_000
    tones = sum(np.sin(2 * np.pi * pitch * k * t) / k for pitch in (131, 165, 196) for k in range(1, 8))
    return np.asarray(0.05 * tones)


def make_model(folder: Path, head: RigFile, seed: int) -> Path:
    """A model folder with random weights, whose face moves with speech and style."""
    import torch

    from talker_cli.model.checkpoint import save_model
    from talker_cli.model.config import ModelConfig
    from talker_cli.model.network import FaceDiffusion

    folder.mkdir(parents=True)
    save_rig(folder / "rig.safetensors", head)
    config = ModelConfig(
        kind="student", rig=file_hash(folder / "rig.safetensors"), names=head.rig.names, identities=tuple(head.identities),
        fps=head.rig.fps, feature_width=16, encoder_dilations=(1,), style_width=8, width=16, denoiser_dilations=(1,),
        prediction="x0", timesteps=tuple(range(256, 0, -32)),
    )  # fmt: skip
    torch.manual_seed(seed)
    network = FaceDiffusion(config)
    with torch.no_grad():
        for parameter in network.denoiser.parameters():
            parameter.normal_(0.0, 0.3)
    save_model(folder / "student.safetensors", network)
    return folder


@pytest.fixture(scope="session")
def speaking(tmp_path_factory: pytest.TempPathFactory, head: RigFile) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "speaking", head, 3)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of a voice in a folder of two levels."""
    sound = load_speech(SPEECH)
    write(tmp_path / "anna" / "one.wav", sound[:70_000])
    write(tmp_path / "anna" / "more" / "one.wav", sound[70_000:140_000])
    return tmp_path / "anna"


@pytest.fixture
def enroll(invoke: Talker, speaking: Path, tmp_path: Path) -> Talker:
    def run(*arguments: str | Path) -> CommandResult:
        return invoke("enroll", *arguments, "--model", speaking, "--library", tmp_path / "library", "--device", "cpu")

    return run


def test_speech_is_detected_among_music_noise_and_silence() -> None:
    """Breaks if music, noise or silence becomes part of a voice, or speech is classified as one of them."""
    speech = load_speech(SPEECH)
    whole = detect_speech(speech)
    assert whole.speech > 0.9 * len(speech) / 16_000
    noise = np.random.default_rng(0).normal(scale=0.1, size=80_000).astype(np.float32)
    for sound in (chord(5).astype(np.float32), noise, 0 * noise):
        assert detect_speech(sound).segments == ()
    assert detect_speech(chord(5).astype(np.float32)).other > 4.5 and detect_speech(0 * noise).silence == 5.0

    music = chord(6).astype(np.float32)
    mixed = np.concatenate([music, speech, np.zeros(64_000, np.float32), music])
    detected = detect_speech(mixed)
    assert abs(detected.speech - whole.speech) < 2.0 and detected.other > 8.0
    assert all(start > 80_000 and end < 96_000 + len(speech) + 16_000 for start, end in detected.segments)


@pytest.mark.slow
def test_a_folder_becomes_an_identity(enroll: Talker, invoke: Talker, clips: Path, speaking: Path, tmp_path: Path) -> None:
    """Breaks if recordings are lost, what is none is used, or the identity does not speak afterwards."""
    write(clips / "chord.wav", chord(5))
    write(clips / "hush.wav", np.zeros(32_000))
    write(clips / "blip.wav", load_speech(SPEECH)[16_000:20_800])
    (clips / "broken.mp3").write_text("no sound")
    (clips / "notes.txt").write_text("hello")
    shutil.copy(clips / "one.wav", clips / "copy.wav")
    ffmpeg("-i", clips / "more" / "one.wav", "-f", "lavfi", "-i", "color=size=32x32", "-shortest", clips / "more" / "film.mp4")
    (clips / "more" / "one.wav").unlink()
    ran = enroll(clips)
    path = tmp_path / "library" / "anna.safetensors"
    assert (ran.code, ran.out) == (0, f"{path}\n"), ran.err
    for words in (
        "left out chord.wav: music or noise, no speech (5.0 s)", "left out hush.wav: silence (2.0 s)",
        "left out blip.wav: too short (0.30 s", "left out broken.mp3: is not a recording", "the same recording as",
        "anna: 2 clips",
    ):  # fmt: skip
        assert words in ran.err
    assert "notes.txt" not in ran.err
    person = load_identity(path)
    assert {source["path"] for source in person.record["sources"]} <= {"one.wav", "copy.wav", "more/film.mp4"}
    assert person.model == style_space(main_weights(speaking)).key and len(person.record["sources"]) == 2
    assert abs(float(np.linalg.norm(person.style)) - 8**0.5) < 1e-5
    assert path.stat().st_size < 10_000

    rest = ("--model", speaking, "--library", tmp_path / "library", "--device", "cpu")
    made = {}
    for name in ("an", str(path), "auto", "anna:0.75," + IDENTITY + ":0.25", IDENTITY):
        ran = invoke("animate", clips / "one.wav", "--identity", name, "-o", "out.npy", *rest)
        assert ran.code == 0, ran.err
        made[name] = np.load(tmp_path / "out.coefficients.npy")
    about = json.loads((tmp_path / "out.json").read_text())
    assert about["face"] == {"identity": IDENTITY} and about["style_scale"] == 1.0
    assert (made["an"] == made[str(path)]).all() and (made["auto"] == made["an"]).all()
    ways = [made["an"], made["anna:0.75," + IDENTITY + ":0.25"], made[IDENTITY]]
    assert all(np.abs(one - other).max() > 1e-3 for one in ways for other in ways if one is not other)

    still = []
    for name in ("anna", IDENTITY):
        assert invoke("animate", clips / "one.wav", "-i", name, "--style-scale", "0", *rest).code == 0
        still.append(np.load(tmp_path / "out.coefficients.npy"))
    assert (still[0] == still[1]).all()  # nothing of either is left
    assert "(--style-scale)" in invoke("animate", clips / "one.wav", "--style-scale", "3", *rest).mistake


def test_of_a_file_of_many_hours_the_beginning_is_read(
    enroll: Talker, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a film of hours is taken into memory: as much is read as is allowed, and it says so."""
    import talker_cli.enroll.clips

    monkeypatch.setattr(talker_cli.enroll.clips, "MAX_SECONDS", 120.0)
    sound = load_speech(SPEECH)
    write(clips / "film.wav", np.tile(sound, 20))  # 210 s
    ran = enroll(clips)
    assert ran.code == 0 and "film.wav: read to 2 minutes" in ran.err
    (film,) = [
        each
        for each in load_identity(tmp_path / "library" / "anna.safetensors").record["sources"]
        if each["path"] == "film.wav"
    ]
    assert 0.8 * 120 < film["seconds"] < 150


def test_folders_without_a_voice(enroll: Talker, tmp_path: Path) -> None:
    """Breaks if nothing becomes somebody, or a library appears for nothing."""
    (tmp_path / "none").mkdir()
    assert "found no recording in" in enroll(tmp_path / "none").mistake
    assert "no folder" in enroll(tmp_path / "nowhere").mistake
    write(tmp_path / "quiet" / "hush.wav", np.zeros(32_000))
    assert "found 0.0 s of speech in 1 files" in enroll(tmp_path / "quiet").mistake
    write(tmp_path / "short" / "blip.wav", load_speech(SPEECH)[16_000:20_800])
    line = enroll(tmp_path / "short").mistake
    assert "found 0.0 s of speech in 1 files" in line and "blip.wav: too short (0.30 s" in line
    assert not list((tmp_path / "library").glob("*")) and not list((tmp_path / "library").glob(".*"))


def test_names_and_places(enroll: Talker, clips: Path, tmp_path: Path) -> None:
    """Breaks if an identity is overwritten unasked, or a name is taken that cannot be called."""
    assert enroll(clips).code == 0
    before = (tmp_path / "library" / "anna.safetensors").read_bytes()
    assert "has an identity 'anna' already" in enroll(clips).mistake
    assert enroll(clips, "--replace").code == 0
    assert (tmp_path / "library" / "anna.safetensors").read_bytes() == before  # the same recordings, the same bytes
    for name in ("auto", "a:1", "../x", "", "x.safetensors", "a,b"):
        assert f"found the name '{name}'" in enroll(clips, "--name", name).mistake
    assert "one of the model's own" in enroll(clips, "--name", IDENTITY).mistake
    assert "ends in .safetensors" in enroll(clips, "-o", "me.npy").mistake
    ran = enroll(clips / "one.wav", "-o", "me.safetensors")
    assert (ran.code, ran.out) == (0, "me.safetensors\n"), ran.err
    assert str(tmp_path) not in json.dumps(load_identity(tmp_path / "me.safetensors").record)
    assert {path.name for path in (tmp_path / "library").iterdir()} == {"anna.safetensors"}


def test_another_model_refuses_and_refit_mends(
    enroll: Talker, invoke: Talker, clips: Path, head: RigFile, tmp_path: Path
) -> None:
    """Breaks if a style is used where it means something else, or refit forgets where it came from."""
    assert enroll(clips).code == 0
    other = make_model(tmp_path / "other", head, 4)
    rest = ("--model", other, "--library", tmp_path / "library")
    line = invoke("animate", clips / "one.wav", "-i", "anna", *rest, "--device", "cpu").mistake
    assert "was enrolled for another model" in line and "talker identities refit anna" in line
    assert "for another model" in invoke("identities", *rest).out
    shutil.move(clips / "more", tmp_path / "away")
    ran = invoke("identities", "refit", "anna", *rest, "--device", "cpu")
    assert ran.code == 0 and "left out more/one.wav: gone since" in ran.err, ran.err
    person = load_identity(tmp_path / "library" / "anna.safetensors")
    assert person.model == style_space(main_weights(other)).key
    assert [source["path"] for source in person.record["sources"]] == ["one.wav"]
    assert invoke("animate", clips / "one.wav", "-i", "anna", *rest, "--device", "cpu").code == 0
    (clips / "one.wav").unlink()
    assert "none of the 1 recordings" in invoke("identities", "refit", "anna", *rest, "--device", "cpu").mistake


@pytest.mark.slow
def test_a_face_of_their_own(
    enroll: Talker, invoke: Talker, clips: Path, head: RigFile, speaking: Path, tmp_path: Path
) -> None:
    """Breaks if the template is not the face that moves, or rendering does not find it again."""
    from talker_cli.formats.motion import read_motion
    from talker_cli.render.source import rig_of_motion

    template = head.rig.template * np.float32(1.1)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in template] + [f"f {a} {b} {c}" for a, b, c in head.rig.faces + 1]
    (tmp_path / "me.obj").write_text("\n".join(lines))
    ran = enroll(clips, "--name", "me", "--template", "me.obj")
    assert ran.code == 0, ran.err
    ran = invoke(
        "animate", clips / "one.wav", "-i", "me", "--model", speaking, "--library", tmp_path / "library", "--device", "cpu"
    )
    assert ran.code == 0, ran.err
    out = tmp_path / "out.npy"
    rig = rig_of_motion(out, read_motion(out))
    assert np.abs(rig.template - template).max() < 1e-6
    assert np.abs(np.load(out) - rig.decode(np.load(tmp_path / "out.coefficients.npy"))).max() < 1e-6

    assert invoke("identities", "remove", "me", "--library", tmp_path / "library").code == 0
    assert "whose face" in invoke("render", "out.npy", "--at", "0").mistake
    (tmp_path / "me.obj").write_text("\n".join(lines[:-1]))
    assert "other triangles" in enroll(clips, "--template", "me.obj").mistake
    (tmp_path / "me.obj").write_text("\n".join(lines[1:]).replace(f" {len(template)} ", " 1 "))
    assert "vert" in enroll(clips, "--template", "me.obj").mistake
