"""The page that listens: its folder, its numbers against Python's, and all of it in a real, headless Chromium."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import PROGRAM, Tab, browsing, served
from conftest import IDENTITY, Command, run_command, spoken
from scipy.signal import correlate
from test_daily import start

from talker_cli import Talker
from talker_cli.animate.live_talker import LiveTalker
from talker_cli.data.emotions import ALWAYS
from talker_cli.errors import MachineError
from talker_cli.formats.files import file_hash
from talker_cli.formats.resample import RATES, Resampler
from talker_cli.model.config import ModelConfig
from talker_cli.page.runtime import FILES, runtime_files
from talker_cli.rig import RigFile, save_rig

PART = 8192  # samples of a file that a pass takes
BOUND = 2e-5  # of the curves: float32 sums in another order, and the five digits of JSON lines
OPTIONS = ("--identity", "FaceTalk_170728", "--seed", 7, "--head", 0.5, "--emotion", "sad=0.6")
LOOK_AHEAD = 9  # frames
MIDDLE = (300, 200, 300, 300)  # of the window: the face, and no text
# Notes what the page gives its worker, and gets.
WATCH = """
window.rates = []; window.sent = []; window.got = [];
const Plain = Worker;
window.Worker = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      if (data.id) window.got.push({ ...data, frames: data.frames && Array.from(data.frames) });
    });
  }
  postMessage(data, ...rest) {
    if (data.rate) window.rates.push(data.rate);
    if (data.samples) window.sent.push(Array.from(data.samples));
    super.postMessage(data, ...rest);
  }
};
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX Runtime Web, of the cache or the registry, in a folder."""
    try:
        files = runtime_files(None, lambda done, total: None)
    except MachineError as error:
        pytest.skip(str(error))
    return next(iter(files.values())).parent


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, head: RigFile) -> Path:
    """A student of chance weights that moves all of the face and the head, knows an emotion, and how eyes move."""
    import torch

    from talker_cli.model.checkpoint import save_model
    from talker_cli.model.graph import export_student
    from talker_cli.model.network import FaceDiffusion

    folder, rigs = tmp_path_factory.mktemp("model") / "small", head.with_head()
    folder.mkdir()
    save_rig(folder / "rig.safetensors", rigs)
    config = ModelConfig(
        kind="student", rig=file_hash(folder / "rig.safetensors"), names=rigs.rig.names, identities=tuple(rigs.identities),
        fps=rigs.rig.fps, feature_width=16, encoder_dilations=(1, 2), style_width=4, width=16, denoiser_dilations=(1, 4, 8),
        timesteps=tuple(range(256, 0, -32)), temperature=0.85, upper_face=("browInnerUp",), upper_face_temperature=1.05,
        emotions=("happy", "sad"), eyes=tuple((20.0 + 3 * row, 0.9, 0.05 * row, 1.0) for row in range(len(rigs.identities))),
    )  # fmt: skip
    torch.manual_seed(0)
    network = FaceDiffusion(config)
    with torch.no_grad():
        for parameter in network.denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        network.mean.fill_(0.3)
        network.std.fill_(0.2)
    save_model(folder / "student.safetensors", network)
    export_student(folder / "student.safetensors", folder / "student.onnx")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, small: Path, runtime: Path) -> Path:
    """The page of that student."""
    folder = tmp_path_factory.mktemp("page") / "site"
    ran = run_command("page", "-o", folder, "--model", small, "--runtime", runtime, *OPTIONS)
    assert (ran.code, ran.out) == (0, f"{folder / 'index.html'}\n"), ran.err
    return folder


needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the page is served."""
    with served(site) as url:
        yield url


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3.2 s of a voice, at a microphone's rate."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(path, spoken(3.2, 48_000), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, address: str, voice: Path) -> Iterator[Tab]:
    """The page, ready, in a browser whose microphone hears the voice, over and over."""
    microphone = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with browsing(tmp_path_factory.mktemp("profile"), [*microphone, f"--use-file-for-fake-audio-capture={voice}"]) as made:
        made.open(address, WATCH)
        yield made


@pytest.fixture(scope="module")
def live(small: Path) -> LiveTalker:
    """What `animate --stream` runs."""
    return LiveTalker(Talker.load(small, device="cpu"), head=0.5, emotion=((0.0, ALWAYS, "sad", 0.6),))


def curves(tab: Tab) -> np.ndarray:
    """Return the frames (T, K) that the page has got."""
    frames = [message["frames"] for message in tab.run("window.got") if message["frames"]]
    return np.concatenate([np.reshape(each, (-1, 55)) for each in frames])


@needs_chromium
@pytest.mark.slow
def test_random_numbers_are_numpys(tab: Tab) -> None:
    """Breaks if a page's eyes or noise are another person's: any number of Philox, uniform or normal, in the tails too."""
    rng = np.random.Generator(np.random.Philox(key=2**63 - 5, counter=[0, 0, 0, 3]))
    expected = np.concatenate([rng.random(1000), rng.normal(size=20_000)])
    found = tab.run(
        f"import('/philox.js').then(({{ Random }}) => {{ const random = new Random([{2**63 - 5}n, 0n], [0n, 0n, 0n, 3n]);"
        "return Array.from({ length: 21000 }, (_, i) => (i < 1000 ? random.uniform() : random.normal())); })"
    )
    assert np.abs(expected).max() > 3.7  # beyond the ziggurat's edge
    assert np.abs(np.array(found) - expected).max() < 1e-12


@needs_chromium
@pytest.mark.slow
def test_the_resampler_is_pythons(tab: Tab) -> None:
    """Breaks if a microphone's sound is filtered otherwise than `serve` does, or parts of it leave a seam."""
    sound = spoken(0.25, 48_000).astype(np.float32)
    assert tab.run("import('/resample.js').then(({ RATES }) => RATES)") == list(RATES)
    for rate in (8_000, 16_000, 44_100, 48_000):
        made = tab.run(
            f"import('/resample.js').then(({{ Resampler }}) => {{ const all = Float32Array.from({sound.tolist()});"
            f"const resampler = new Resampler({rate}), made = [];"
            "for (let at = 0; at < all.length; at += 1000) made.push(...resampler.push(all.subarray(at, at + 1000)));"
            "return [...made, ...resampler.finish()]; })"
        )
        resampler = Resampler(rate)
        expected = np.concatenate([resampler.push(sound), resampler.finish()])
        assert len(made) == len(expected) and np.abs(np.array(made) - expected).max() < 1e-5


@needs_chromium
@pytest.mark.slow
def test_a_files_curves_are_the_streams(tab: Tab, small: Path, tmp_path: Path) -> None:
    """Breaks if a page makes other curves of a file than `animate --stream` of its parts: windows, features, noise, sampler,
    passes, look-ahead, eyes, head, offset, or the end."""
    samples = np.round(32767 * spoken(2.6) * np.linspace(0, 1, round(2.6 * 16_000))).astype("<i2")  # a pause, then louder
    soundfile.write(tmp_path / "speech.wav", samples, 16_000)
    tab.run("window.got.length = 0")
    tab.choose("#file", tmp_path / "speech.wav")
    tab.wait("window.got.some(({ over }) => over)")
    found = curves(tab)

    data, lines = (tmp_path / "speech.wav").read_bytes(), []
    with start("animate", "-", "--stream", "--model", small, *OPTIONS, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        names = json.loads(process.stdout.readline())["names"]
        header, sound = data[: -2 * len(samples)], data[-2 * len(samples) :]
        for end in range(PART, len(samples), PART):  # the next part waits for the frames of this one, so that passes are equal
            process.stdin.write(header + sound[2 * (end - PART) : 2 * end])
            process.stdin.flush()
            header = b""
            while len(lines) < end * 30 // 16_000 - LOOK_AHEAD:
                lines.append(json.loads(process.stdout.readline()))
        process.stdin.write(header + sound[2 * end :])
        process.stdin.close()
        lines += map(json.loads, process.stdout)
    expected = np.array([line["coefficients"] for line in lines])
    assert found.shape == expected.shape == (78, 55) and names[-3:] == ["headPitch", "headYaw", "headRoll"]
    assert np.abs(found - expected).max() < BOUND
    blinks = expected[:, names.index("eyeBlinkLeft")]
    assert np.ptp(blinks) > 0.3 and np.median(np.ptp(expected, axis=0)) > 0.05


@needs_chromium
@pytest.mark.slow
def test_a_microphones_curves_are_the_streams(tab: Tab, live: LiveTalker, voice: Path) -> None:
    """Breaks if sound is lost or doubled between microphone and student, or its face is not what `animate --stream` makes."""
    tab.run("window.got.length = window.sent.length = window.rates.length = 0; document.getElementById('microphone').click()")
    tab.wait("window.got.some(({ samples }) => samples > 40000)")
    tab.wait("/frames\\/s, \\d+ ms after the voice/.test(document.getElementById('status').textContent)")
    shown = tab.run("document.getElementById('status').textContent")
    assert int(shown.split()[-5]) > 250  # ms: no face knows its sound before the look-ahead
    tab.run("document.getElementById('microphone').click()")
    (rate,), sent, got = tab.run("window.rates"), tab.run("window.sent"), tab.run("window.got")
    heard, found = np.concatenate(sent).astype(np.float32), curves(tab)

    said = soundfile.read(voice)[0]
    resampler = Resampler(rate)
    speech = resampler.push(heard)
    motion, at, expected = live.start("FaceTalk_170728", 7).motion, 0, []
    for message in got:
        expected.append(motion.push(speech[at : message["samples"]]))
        at = message["samples"]
    assert np.abs(found - np.concatenate(expected)).max() < BOUND and len(found) > 50

    # The voice begins again and again. A browser without a processor drops sound, but no page drops some of each block.
    whole, width = Resampler(48_000).push(np.tile(said, 3).astype(np.float32)).astype(np.float64), 1600
    power = correlate(whole**2, np.ones(width), "valid")
    power = power.clip(0.01 * power.max())
    parts = [part for at in range(0, len(speech) - width, width) if (part := speech[at : at + width]).std() > 0.01]
    assert max((correlate(whole, part, "valid") / np.sqrt(power * np.sum(part**2))).max() for part in parts) > 0.98


@needs_chromium
@pytest.mark.slow
def test_a_page_shows_a_face_that_moves_and_asks_nobody(tab: Tab, address: str, voice: Path) -> None:
    """Breaks if nothing is drawn, the drawing does not follow the sound, or anything is fetched from elsewhere."""
    rest = tab.picture(*MIDDLE)
    tab.run("window.got.length = 0")
    tab.choose("#file", voice)
    tab.wait("/[1-9]\\d* frames\\/s/.test(document.getElementById('status').textContent)")
    assert tab.picture(*MIDDLE) != rest
    tab.run("document.getElementById('open').click()")  # ends it
    tab.wait("document.getElementById('open').textContent === 'Open a file'")
    assert not tab.errors
    assert all(url.startswith((address, "data:", f"blob:{address}")) for url in tab.loaded.values())
    policy = tab.run("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none';") and "connect-src 'self';" in policy and "http" not in policy
    tab.choose("#file", Path(__file__))
    tab.wait("document.getElementById('problem').innerText.includes('test_page.py holds no sound that this browser reads')")


@needs_chromium
@pytest.mark.slow
def test_a_character_speaks_without_the_server(
    invoke: Command, small: Path, runtime: Path, motion: Path, voice: Path, tmp_path: Path
) -> None:
    """Breaks if a user's own character stands still, or the page needs a network after its first visit."""
    assert invoke("export", motion.name, "-o", "me.glb").code == 0
    made = invoke("page", "-o", "site", "--model", small, "--runtime", runtime, *OPTIONS, "--avatar", "me.glb")
    assert made.code == 0, made.err
    about = json.loads((tmp_path / "site" / "site.json").read_text())
    assert set(about["face"]["names"]) <= set(about["live"]["names"]) and "jawOpen" in about["face"]["names"]
    with browsing(tmp_path / "profile") as tab:
        with served(tmp_path / "site") as url:
            tab.open(url)
            tab.run("navigator.serviceWorker.ready.then(({ active }) => active.state)")
        tab.open(url)
        rest = tab.picture(*MIDDLE)
        tab.choose("#file", voice)
        tab.wait("/[1-9]\\d* frames\\/s/.test(document.getElementById('status').textContent)")
        assert tab.picture(*MIDDLE) != rest and not tab.errors


@needs_chromium
@pytest.mark.slow
def test_an_exported_page_plays(invoke: Command, motion: Path, tmp_path: Path) -> None:
    """Breaks if the viewer of `-o a.html` no longer opens in a browser, or stands still while it plays."""
    assert invoke("export", motion.name, "-o", "a.html").code == 0
    with browsing(tmp_path / "profile") as tab:
        tab.open((tmp_path / "a.html").as_uri())
        rest = tab.picture(*MIDDLE)
        tab.run("document.getElementById('play').click()")
        tab.wait("!document.getElementById('clock').textContent.startsWith('0:00.0')")
        assert tab.picture(*MIDDLE) != rest and not tab.errors


def test_the_folder_says_what_it_is(site: Path) -> None:
    """Breaks if the offline copy misses a file, a licence stays behind, or a placeholder."""
    names = {path.name for path in site.iterdir()}
    assert {"index.html", "student.onnx", "ort.js", "ort.wasm", "ort.LICENSE", "ort.ThirdPartyNotices.txt"} <= names
    kept = json.loads((site / "offline.js").read_text().split("cache.addAll(")[1].split(")")[0])
    assert set(kept) == {"./", *names} - {"offline.js", "ort.LICENSE", "ort.ThirdPartyNotices.txt"}
    assert IDENTITY not in (page := (site / "index.html").read_text()) and "FaceTalk_170728_03272_TA" in page
    assert not any("{{" in path.read_text() for path in site.iterdir() if path.suffix in (".html", ".js"))


def test_a_page_is_made_again_and_nothing_else_is_lost(invoke: Command, site: Path, small: Path, runtime: Path) -> None:
    """Breaks if a second page cannot take the place of the first, or takes that of somebody's files."""
    again = ("page", "-o", site, "--model", small, "--runtime", runtime, *OPTIONS)
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    assert invoke(*again).code == 0
    assert {path.name: path.read_bytes() for path in site.iterdir()} == before
    (site / "notes.txt").write_text("mine")
    try:
        assert "it is not empty" in invoke(*again).mistake
    finally:
        (site / "notes.txt").unlink()
    Path("other").mkdir()
    Path("other/student.onnx").write_text("mine")
    assert "it is not empty" in invoke("page", "-o", "other", "--model", small, "--runtime", runtime).mistake
    assert Path("other/student.onnx").read_text() == "mine"


def test_a_student_that_reads_whisper_is_refused(invoke: Command, small: Path, tmp_path: Path) -> None:
    """Breaks if a model that a browser cannot feed becomes a page that says nothing."""
    from talker_cli.model.checkpoint import load_model, save_model
    from talker_cli.model.encoders import describe
    from talker_cli.model.network import FaceDiffusion

    (tmp_path / "rig.safetensors").write_bytes((small / "rig.safetensors").read_bytes())
    about = describe("whisper")
    config = load_model(small / "student.safetensors", "student").config
    changed = replace(config, audio_encoder="whisper", pretrained_hash=about.hash, pretrained_width=about.width)
    save_model(tmp_path / "student.safetensors", FaceDiffusion(changed))
    mistake = invoke("page", "-o", "site", "--model", tmp_path).mistake
    assert "reads Whisper's features" in mistake and "compact" in mistake and not (tmp_path / "site").exists()


def test_a_page_runs_the_student_that_is_asked_for(invoke: Command, small: Path, runtime: Path, tmp_path: Path) -> None:
    """Breaks if a page takes another student's graph, or goes through the steps of another."""
    from talker_cli.model.checkpoint import load_model, save_model
    from talker_cli.model.graph import export_student

    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    network = load_model(folder / "student.safetensors", "student")
    network.config = replace(network.config, timesteps=(256, 128))
    save_model(folder / "student-2.safetensors", network)
    export_student(folder / "student-2.safetensors", folder / "student-2.onnx")
    made = invoke("page", "-o", "site", "--model", folder, "--runtime", runtime, "--steps", 2)
    assert made.code == 0, made.err
    assert json.loads((tmp_path / "site" / "site.json").read_text())["live"]["timesteps"] == [1.0, 0.5]
    assert (tmp_path / "site" / "student.onnx").read_bytes() == (folder / "student-2.onnx").read_bytes()
    mistake = invoke("page", "-o", "other", "--model", folder, "--steps", 4).mistake
    assert "no student of 4 steps, and no teacher; expected 2 or 8 steps" in mistake and not (tmp_path / "other").exists()


def test_an_emotion_that_ends_is_refused(invoke: Command, small: Path, tmp_path: Path) -> None:
    """Breaks if a time line, or an emotion that the model does not know, is dropped without a word."""
    (tmp_path / "moods.csv").write_text("start,end,emotion,strength\n0,2,sad,1\n")
    for emotion, expected in (("moods.csv", "expected an emotion that lasts"), ("angry=1", "expected happy, sad")):
        mistake = invoke("page", "-o", "site", "--model", small, "--runtime", tmp_path, "--emotion", emotion).mistake
        assert expected in mistake and "(--emotion)" in mistake


def test_a_runtime_that_is_none_is_refused(invoke: Command, small: Path, tmp_path: Path) -> None:
    """Breaks if a page is made without its runtime, or with half of it."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / FILES["ort.js"]).write_text("")
    mistake = invoke("page", "-o", "site", "--model", small, "--runtime", tmp_path).mistake
    assert f"found no {FILES['ort.wasm']} in {tmp_path / 'dist'}" in mistake and "(--runtime)" in mistake
    assert not (tmp_path / "site").exists()


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry with another package of this name."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"another package")

    def log_message(self, *arguments: object) -> None:
        pass


def test_what_is_not_the_package_is_not_kept(
    invoke: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a page runs code that somebody put in the registry's place, or offline there is a traceback."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with http.server.HTTPServer(("127.0.0.1", 0), Registry) as server:
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert "is not the package that was expected" in invoke("page", "-o", "site", "--model", small).mistake
        server.shutdown()
    mistake = invoke("page", "-o", "site", "--model", small).mistake  # nobody listens there any more
    assert "cannot fetch http://127.0.0.1" in mistake and "npm install onnxruntime-web" in mistake and "(--runtime)" in mistake
    assert not list(tmp_path.rglob("onnxruntime-web*")) and not (tmp_path / "site").exists()


def test_a_page_starts_without_torch() -> None:
    """Breaks if the light installation cannot make a page."""
    code = "import sys; sys.modules['torch'] = None; import talker_cli.page.build, talker_cli.page.runtime"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True, timeout=60)
