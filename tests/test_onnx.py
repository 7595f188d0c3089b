"""The student's graph: the numbers that PyTorch gives, by ONNX Runtime, without PyTorch; and as other programs run it."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import Command, ffmpeg, spoken
from google.protobuf.message import Message
from onnx import numpy_helper

from talker_cli.animate.animator import Animator, load_animator
from talker_cli.animate.postfilter import filtered, kernels
from talker_cli.errors import ModelError
from talker_cli.formats.audio import load_speech
from talker_cli.model import whisper
from talker_cli.model.config import COMPACT
from talker_cli.model.folder import model_folder
from talker_cli.model.graph import quantise, write_graph
from talker_cli.model.mel import log_mel, speech_windows
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.model.onnx_session import open_graph
from talker_cli.model.torch_runner import load_torch_runner
from talker_cli.rig import HEAD_NAMES

ROOT = Path(__file__).parents[1]
SHIPPED = model_folder("talker-base")


@pytest.fixture(scope="module")
def graph() -> OnnxRunner:
    """Return the shipped student, by ONNX Runtime."""
    return OnnxRunner(SHIPPED / "student.onnx")


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Return 31 s of speech: longer than a chunk less its halo."""
    return np.tile(load_speech(ROOT / "examples/speech.wav"), 3)[: 31 * 16_000]


@pytest.mark.slow
def test_curves_are_those_of_pytorch(graph: OnnxRunner, speech: np.ndarray) -> None:
    """Breaks if a stage of the graph, a weight or a constant is another than the network's."""
    ours = Animator(graph, None)
    theirs = Animator(load_torch_runner(SHIPPED / "student.safetensors", "cpu"), None)
    identity = graph.config.identities[3]
    one, other = (animator.coefficients(speech, identity, seed=5) for animator in (ours, theirs))
    assert one.shape == (930, len(graph.config.names)) and one.std(0).max() > 0.1
    assert np.abs(one - other).max() < 1e-4
    measured = np.random.default_rng(0).normal(size=(1, len(graph.config.voice_measures) + 1)).astype(np.float32)
    voice = measured if graph.config.voice_measures else log_mel(speech[:64_000], 120, graph.config)[None]
    assert np.abs(graph.read_styles(voice) - theirs.runner.read_styles(voice)).max() < 5e-6
    assert np.array_equal(graph.named_style(identity), theirs.runner.named_style(identity))


@pytest.mark.slow
def test_parts_are_the_whole_to_the_last_bit(graph: OnnxRunner, speech: np.ndarray) -> None:
    """Breaks if the parts in which speech comes show in the curves."""
    animator = Animator(graph, None)
    speech = np.tile(speech, 2)
    cuts = [0, 7, 1601, 200_000, 201_234, 640_001, len(speech)]
    parts = [speech[start:end] for start, end in itertools.pairwise(cuts)]
    whole, cut = (animator.coefficients(given, graph.config.identities[0]) for given in (speech, iter(parts)))
    assert np.array_equal(whole, cut)


def test_products_in_int8_keep_near_those_in_float(tmp_path: Path) -> None:
    """Breaks if a product that is to stay is quantised, if weights or metadata are lost, or if two copies differ."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 64)).half().float().eval()
    plain, whole, part = (tmp_path / f"{name}.onnx" for name in ("plain", "whole", "part"))
    write_graph(plain, layers, [torch.zeros(1, 5, 64)], ["x"], ["y"], {"x": {1: "N"}, "y": {1: "N"}}, {"of": "a test"})
    quantise(plain, whole)
    quantise(plain, part, ["/2/MatMul"])
    x = np.random.default_rng(0).normal(size=(1, 50, 64)).astype(np.float32)
    exact, all_int8, one_int8 = (open_graph(path, "").run(None, {"x": x})[0] for path in (plain, whole, part))
    errors = [np.abs(made - exact).max() / exact.std() for made in (all_int8, one_int8)]
    assert 0 < errors[1] < errors[0] < 0.1
    for path, count in ((whole, 2), (part, 1)):
        graph = onnx.load(str(path))
        assert sum(node.op_type == "MatMulInteger" for node in graph.graph.node) == count
        assert json.loads(graph.metadata_props[0].value) == {"of": "a test"} and len(graph.metadata_props) == 1
    size = plain.stat().st_size
    quantise(plain, plain, ["/2/MatMul"])
    assert plain.read_bytes() == part.read_bytes() and plain.stat().st_size < size - 0.8 * 64 * 256


def test_the_graphs_spectrogram_is_the_models(graph: OnnxRunner) -> None:
    """Breaks if other programs, which take the spectrogram of the graph, hear something else."""
    sound = spoken(1.0).astype(np.float32)
    if graph.config.audio_encoder == COMPACT:
        made = graph._run("mel", windows=speech_windows(sound, 30, graph.config))
        assert np.abs(made - log_mel(sound, 30, graph.config)).max() < 1e-4
    else:
        windows = np.pad(sound, 200)[160 * np.arange(100)[:, None] + np.arange(400)]
        assert np.abs(whisper.levelled(graph._run("mel", windows=windows).T) - whisper.log_mel(sound)).max() < 1e-3


@pytest.mark.slow
def test_the_loop_in_the_docs_makes_talkers_motion(graph: OnnxRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if somebody who copies the page's program gets a face that does not speak."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/onnx.md").read_text(), re.S)
    assert code is not None
    monkeypatch.chdir(SHIPPED)
    scope: dict = {}
    exec(code[1], scope)
    sound = load_speech(ROOT / "examples/speech.wav")
    style = graph.named_style("FaceTalk_170725_00137_TA")[0]
    made = np.mean([scope["animate"](sound, style, seed) for seed in range(4)], 0)
    ours = np.mean([Animator(graph, None).coefficients(sound, "FaceTalk_170725_00137_TA", seed=seed) for seed in range(4)], 0)
    images: list[np.ndarray] = []
    log_mel_of = whisper.log_mel
    monkeypatch.setattr(whisper, "log_mel", lambda window: images.append(log_mel_of(window)) or images[-1])
    frontend = graph.frontend()
    frontend.push(sound * np.float32(0.999))  # no window that was heard before
    frontend.finish()
    wanted = frontend.inputs(0, len(made))
    # Products in int8 round the last bits of an image to other steps: the same image, once the page's is near it.
    session, near = scope["onnxruntime"].InferenceSession, iter(images)

    class Near:
        def __init__(self, *arguments: object, **options: object) -> None:
            self._session = session(*arguments, **options)

        def run(self, names: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            ours = next(near)[None]
            assert given["mel"].shape == ours.shape and np.abs(given["mel"] - ours).max() < 1e-3
            return list(self._session.run(names, {"mel": ours}))

    monkeypatch.setattr(scope["onnxruntime"], "InferenceSession", Near)
    heard = scope[graph.config.audio_encoder](sound * np.float32(0.999), len(made))
    assert np.abs(heard - wanted).max() < 2e-3 and next(near, None) is None
    x = np.random.default_rng(0).standard_normal((30, len(graph.config.names)), np.float32)
    face = [name not in HEAD_NAMES for name in graph.config.names]
    assert np.abs(scope["sharper"](x) - filtered(x, kernels(graph.config)))[:, face].max() < 1e-5
    jaw = graph.config.names.index("jawOpen")
    assert made.shape == ours.shape and np.corrcoef(made[:, jaw], ours[:, jaw])[0, 1] > 0.97


@pytest.mark.slow
def test_animate_and_enroll_load_no_torch(tmp_path: Path) -> None:
    """Breaks if a student on a CPU waits for PyTorch, or needs it installed."""
    code = "import sys; sys.modules['torch'] = None; from talker_cli.__main__ import main; sys.exit(main())"
    speech = str(ROOT / "examples/speech.wav")
    for arguments in (
        ["enroll", speech, "--name", "anna", "-o", "me.safetensors"],
        ["animate", speech, "-i", "auto", "-o", "a.csv", "-o", "a.glb"],
        ["animate", speech, "-i", "me.safetensors", "-o", "b.csv"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.glb", "b.csv", "me.safetensors"]


@pytest.mark.slow
def test_export_again_gives_the_shipped_graph(talker: Command, tmp_path: Path) -> None:
    """Breaks if the file that ships is not what the command makes of the weights that ship."""
    ran = talker("export-model", "talker-base", "-o", tmp_path / "mine.onnx")
    assert ran.code == 0, ran.err
    runners = [OnnxRunner(path) for path in (tmp_path / "mine.onnx", SHIPPED / "student.onnx")]
    assert runners[0].config == runners[1].config and runners[0].weights == runners[1].weights
    models = [onnx.load(str(path)) for path in (tmp_path / "mine.onnx", SHIPPED / "student.onnx")]
    for model in models:
        del model.metadata_props[:]  # fields that were added since have their default in the shipped file
    # To a last bit: sines that are computed at the export differ so between kinds of processor.
    for ours, shipped in zip(*map(tensors, models), strict=True):
        np.testing.assert_allclose(numpy_helper.to_array(ours), numpy_helper.to_array(shipped), rtol=3e-7, atol=1e-9)
        ours.raw_data = shipped.raw_data
    assert models[0].SerializeToString(deterministic=True) == models[1].SerializeToString(deterministic=True)


def tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Return the tensors in a part of a graph, in the order of its fields."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for _, value in message.ListFields():
        for each in value if isinstance(value, Sequence) else (value,):
            if isinstance(each, Message):
                yield from tensors(each)


@pytest.mark.parametrize("damage", ["truncated", "text", "metadata", "other weights"])
def test_a_damaged_graph_is_one_line(tmp_path: Path, damage: str) -> None:
    """Breaks if a broken file, or one of other weights, ends in a traceback or is run."""
    content = (SHIPPED / "student.onnx").read_bytes()
    for name in ("rig.safetensors", "student.safetensors"):
        (tmp_path / name).symlink_to(SHIPPED / name)
    place = tmp_path / "student.onnx"
    if damage in ("metadata", "other weights"):
        model = onnx.load_model_from_string(content)
        about = json.loads(model.metadata_props[0].value)
        about |= {"styles": about["styles"][:-1]} if damage == "metadata" else {"weights": "0" * 64}
        model.metadata_props[0].value = json.dumps(about)
        content = model.SerializeToString()
    place.write_bytes({"truncated": content[:-100_000], "text": b"speech in, face out"}.get(damage, content))
    with pytest.raises(ModelError, match=r"student\.onnx .*(damaged|made of other weights)"):
        load_animator(tmp_path, "8", "cpu")


def test_a_folder_without_a_student_has_no_graph(invoke: Command, tmp_path: Path) -> None:
    """Breaks if a teacher alone ends in a traceback, or if a file of another suffix is written."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rig.safetensors").symlink_to(SHIPPED / "rig.safetensors")
    assert "found no student in mine" in invoke("export-model", "mine").mistake
    assert "expected a file with the suffix .onnx" in invoke("export-model", "talker-base", "-o", "a.pt").mistake
    assert "found no student of 3 steps" in invoke("export-model", "talker-base", "-o", "a.onnx", "--steps", "3").mistake
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


TRAINING = ("torch", "torchaudio", "transformers", "accelerate", "onnx", "tomli_w")
LIGHT = f"import sys\nfor name in {TRAINING}: sys.modules[name] = None\n"


@pytest.mark.slow
def test_a_light_installation_names_the_extra_that_a_command_needs(tmp_path: Path) -> None:
    """Breaks if a command that needs PyTorch ends in a traceback where it is not installed."""
    code = LIGHT + "from talker_cli.cli.app import run\nfor line in sys.stdin: print(run(line.split()), file=sys.stderr)"
    speech = ROOT / "examples/speech.wav"
    lines = [
        f"animate {speech} --steps full -o a.npy", f"animate {speech} --device cuda -o a.npy", "export-model talker-base",
        f"enroll {speech} --device cuda -o a.safetensors",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], input="\n".join(lines), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = done.stderr.splitlines()
    assert said == ["talker: found no torch; expected it for this; run: pip install 'talker-cli[train]'", "2"] * len(lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--text", "hello"), ("--stream",)])
def test_words_and_live_sound_need_no_training_libraries(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Breaks if known words, or live sound, load PyTorch for a student on a CPU."""
    source = "-" if "--stream" in arguments else "a.wav"
    ffmpeg("-t", "1", "-i", ROOT / "examples/speech.wav", tmp_path / "a.wav")
    command = ["animate", source, "-i", "FaceTalk_170725", *arguments, *([] if source == "-" else ["-o", "a.csv"])]
    code = LIGHT + "from talker_cli.__main__ import main\nsys.exit(main())"
    with (tmp_path / "a.wav").open("rb") as sound:
        done = subprocess.run(
            [sys.executable, "-c", code, *command], cwd=tmp_path, stdin=sound, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.csv").is_file() or len(done.stdout.splitlines()) > 20
