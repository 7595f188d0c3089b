"""Every format, written by the real command line and read back here by other means; and every mistake before any work."""

import base64
import html.parser
import itertools
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import IDENTITY, Talker, ffmpeg, sha256, spoken, streams
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from talker_cli.avatar.solve import bounded_least_squares
from talker_cli.data.livelink import read_csv
from talker_cli.errors import InputError, OutputError
from talker_cli.export.arkit import arkit_coefficients
from talker_cli.export.attribution import OWN_HEAD, copyright_of
from talker_cli.export.formats import FORMATS, write_motion_clip
from talker_cli.export.motion_clip import MotionClip
from talker_cli.export.page import write_html
from talker_cli.export.usd import write_usda
from talker_cli.formats.gltf import Glb
from talker_cli.formats.motion import read_motion, write_motion
from talker_cli.render.materials import surface_of
from talker_cli.rig import ARKIT_NAMES, Rig, load_rig

FRAMES = 36


@pytest.fixture(scope="module")
def own(model: Path) -> Rig:
    """The built-in head, read from a file, in one person's shape."""
    return load_rig(model / "rig.safetensors").rig_of(IDENTITY)


@pytest.fixture
def motion_path(tmp_path: Path, own: Rig, wav: Path, model: Path) -> Path:
    """36 frames in which every shape moves, with the sidecar that leads to rig and recording."""
    phase = np.linspace(0, 6, FRAMES)[:, None] + np.arange(52)
    coefficients = (0.5 + 0.5 * np.sin(phase)).astype(np.float32)
    about = {
        "fps": own.fps,
        "identity": IDENTITY,
        "seed": 3,
        "rig": {"path": str(model / "rig.safetensors"), "sha256": sha256(model / "rig.safetensors")},
        "audio": {"path": str(wav), "sha256": sha256(wav)},
    }
    path = tmp_path / "take.npy"
    write_motion(path, own.decode(coefficients), coefficients, about)
    return path


def coefficients_of(motion_path: Path) -> np.ndarray:
    return np.load(motion_path.with_suffix(".coefficients.npy"))


def exported(invoke: Talker, motion_path: Path, *names: str) -> list[Path]:
    """Export into files of these names and return their paths; the command says each of them, in order."""
    options = [word for name in names for word in ("-o", name)]
    ran = invoke("export", motion_path.name, *options)
    assert (ran.code, ran.out) == (0, "".join(f"{name}\n" for name in names)), ran.err
    return [motion_path.parent / name for name in names]


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# What is written


def test_coefficients_come_back(invoke: Talker, motion_path: Path) -> None:
    """Breaks if a column is another shape's, if a timecode is not Unreal's, or if numbers are rounded away."""
    table, text, archive = exported(invoke, motion_path, "a.csv", "a.json", "a.npz")
    coefficients, motion = coefficients_of(motion_path), read_motion(motion_path)

    lines = [line.split(",") for line in table.read_text().splitlines()]
    header, rows = lines[0], lines[1:]
    assert header[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"] and header[-1] == "RightEyeRoll"
    assert header.index("JawRight") + 1 == header.index("JawLeft") and header.index("TongueOut") == 53
    assert len(header) == 63 and len(set(header)) == 63 and len(rows) == FRAMES
    for k, name in enumerate(ARKIT_NAMES):
        column = header.index(name[0].upper() + name[1:])
        assert np.abs(np.array([float(row[column]) for row in rows]) - coefficients[:, k]).max() < 1e-6
    for index, row in enumerate(rows):
        assert len(row) == 63 and row[1] == "61" and all(float(value) == 0 for value in row[54:])
        assert re.fullmatch(r"\d\d:\d\d:\d\d:\d\d\.\d\d\d", row[0])
        hours, minutes, seconds, frames = map(float, row[0].split(":"))
        assert frames < 60 and abs(3600 * hours + 60 * minutes + seconds + frames / 60 - index / 30) < 1e-5

    seconds, again = read_csv(table)  # as training data
    assert np.abs(seconds - np.arange(FRAMES) / 30).max() < 1e-5 and np.abs(again - coefficients).max() < 1e-6

    read = json.loads(text.read_text())
    assert read["fps"] == 30 and read["names"] == list(ARKIT_NAMES) and read["identity"] == IDENTITY and read["seed"] == 3
    assert (np.array(read["frames"], np.float32) == coefficients).all()

    arrays = np.load(archive, allow_pickle=False)
    vertices = arrays["template"] + np.tensordot(arrays["coefficients"], arrays["basis"], 1)
    assert np.allclose(vertices, motion.vertices, atol=1e-6) and arrays["names"].tolist() == list(ARKIT_NAMES)
    assert float(arrays["fps"]) == 30 and json.loads(str(arrays["about"]))["audio"] == "speech.wav"


def test_timecodes_carry_over() -> None:
    """Breaks if the 60th frame is not the next second, or an hour is 60 minutes longer."""
    from talker_cli.export.livelink import timecode

    assert timecode(0.9999999) == "00:00:01:00.000" and timecode(59.99999999) == "00:01:00:00.000"
    assert timecode(3600 + 60 + 1 + 31.25 / 60) == "01:01:01:31.250"


def test_scenes_come_back(invoke: Talker, motion_path: Path, own: Rig) -> None:
    """Breaks if GLB or USD play other weights, or name no sound, shapes or owner."""
    binary, text = exported(invoke, motion_path, "a.glb", "a.usda")
    coefficients = coefficients_of(motion_path)

    glb = Glb(binary)
    sampler = glb.tree["animations"][0]["samplers"][0]
    assert (glb.array(sampler["output"]).reshape(-1, 52) == coefficients).all()
    assert glb.tree["asset"]["extras"] == {"identity": IDENTITY, "seed": 3, "fps": 30.0, "audio": "speech.wav"}
    assert glb.tree["asset"]["copyright"] == OWN_HEAD

    usd = text.read_text()
    assert usd.startswith("#usda 1.0\n") and OWN_HEAD in usd
    for opening, closing in ("{}", "[]", "()"):
        assert usd.count(opening) == usd.count(closing)
    samples = re.findall(r"^ +(\d+): \[(.+)\],$", usd, re.MULTILINE)
    assert [int(index) for index, _ in samples] == list(range(FRAMES))
    assert (np.array([row.split(", ") for _, row in samples], np.float32) == coefficients).all()
    points = usd_vectors(usd, "point3f[] points")
    assert np.abs(points - own.template).max() < 1e-7
    for k, name in enumerate(ARKIT_NAMES):
        block = usd[usd.index(f'def BlendShape "{name}"') :]
        found = np.zeros_like(own.template)
        rows = np.array(re.search(r"pointIndices = \[(.+)\]", block)[1].split(", "), int)  # type: ignore[index]
        found[rows] = usd_vectors(block, "offsets")
        assert np.abs(found - own.basis[k]).max() < 1e-7
    sound = re.search("filePath = @@@(.+)@@@", usd)
    assert sound is not None and (text.parent / sound[1]).resolve() == (motion_path.parent / "speech.wav").resolve()


def usd_vectors(text: str, name: str) -> np.ndarray:
    found = re.search(rf"{re.escape(name)} = \[(.+)\]", text)
    assert found is not None
    return np.array(re.findall(r"\((\S+), (\S+), (\S+)\)", found[1]), np.float32)


class PageReader(html.parser.HTMLParser):
    """What a page holds: its elements, and the text of those with an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._id: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id")

    def handle_data(self, data: str) -> None:
        if self._id is not None:
            self.texts[self._id] = self.texts.get(self._id, "") + data


def test_the_page_holds_face_and_sound(invoke: Talker, motion_path: Path, tmp_path: Path, own: Rig) -> None:
    """Breaks if the page asks the network for anything, if its numbers move the face elsewhere, or its sound is another."""
    (path,) = exported(invoke, motion_path, "a.html")
    text = path.read_text(encoding="utf-8")
    page = PageReader(text)
    assert "{{" not in text and not re.search(r"https?:", text)
    assert not any({"src", "href"} & set(attributes) for _, attributes in page.elements)
    (policy,) = [each["content"] for _, each in page.elements if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none';")

    config = json.loads(page.texts["config"])
    data = zlib.decompress(base64.b64decode(page.texts["arrays"]))
    arrays = {
        name: np.frombuffer(data, f"<{kind[0]}{kind[1]}", length, offset)
        for name, (kind, offset, length) in config["arrays"].items()
    }
    assert all(offset % 4 == 0 for _, offset, _ in config["arrays"].values())
    assert (arrays["faces"].reshape(-1, 3) == surface_of(own).faces).all() and config["names"] == list(ARKIT_NAMES)
    step, low = np.array(config["coefficients"]["step"]), np.array(config["coefficients"]["low"])
    coefficients = arrays["coefficients"].reshape(52, FRAMES).T * step + low
    assert np.abs(coefficients - coefficients_of(motion_path)).max() < 1e-5
    basis, start = np.zeros_like(own.basis), 0
    for k, (count, scale) in enumerate(zip(config["shapes"]["counts"], config["shapes"]["steps"], strict=True)):
        rows = arrays["shape_rows"][start : start + count]
        basis[k, rows] = scale * arrays["shape_values"].reshape(-1, 3)[start : start + count]
        start += count
    template = arrays["template"].reshape(-1, 3) * config["template"]["step"] + config["template"]["low"]
    vertices = template + np.tensordot(coefficients, basis, 1)
    assert np.abs(vertices - read_motion(motion_path).vertices).max() < 3e-5  # metres: a third of a hair

    (tmp_path / "page.mp3").write_bytes(base64.b64decode(page.texts["speech"]))
    ffmpeg("-i", tmp_path / "page.mp3", "-ar", "16000", "-ac", "1", tmp_path / "page.wav")
    heard, said = soundfile.read(tmp_path / "page.wav")[0], soundfile.read(tmp_path / "speech.wav")[0]
    length = min(len(heard), len(said))
    assert abs(len(heard) - len(said)) < 0.05 * 16_000
    assert np.corrcoef(heard[:length], said[:length])[0, 1] > 0.95  # in step, to the sample


def test_the_page_s_shaders_compile(invoke: Talker, motion_path: Path) -> None:
    """Breaks if the films' light no longer fits WebGL's dialect: the page's shaders, by a real driver, in that dialect."""
    from talker_cli.render.stage import OffscreenRenderer

    (path,) = exported(invoke, motion_path, "a.html")
    light = json.loads(PageReader(path.read_text(encoding="utf-8")).texts["config"])["light"]
    with OffscreenRenderer((16, 16)):
        from OpenGL import GL as gl

        known = {gl.glGetStringi(gl.GL_EXTENSIONS, index) for index in range(gl.glGetIntegerv(gl.GL_NUM_EXTENSIONS))}
        if b"GL_ARB_ES3_compatibility" not in known:
            pytest.skip("this OpenGL driver does not know WebGL's dialect")
        for pair in (light["face"], light["ground"]):
            program = gl.glCreateProgram()
            for kind, text in zip((gl.GL_VERTEX_SHADER, gl.GL_FRAGMENT_SHADER), pair, strict=True):
                shader = gl.glCreateShader(kind)
                gl.glShaderSource(shader, light["header"] + text)
                gl.glCompileShader(shader)
                assert gl.glGetShaderiv(shader, gl.GL_COMPILE_STATUS), gl.glGetShaderInfoLog(shader)
                gl.glAttachShader(program, shader)
            gl.glLinkProgram(program)
            assert gl.glGetProgramiv(program, gl.GL_LINK_STATUS), gl.glGetProgramInfoLog(program)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(identity=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@example(identity="</script><b>&\"'")
@example(identity="{{style}}<!-- ]]> @@@\r\n\x00\u2028")
def test_names_cannot_break_a_file(ball: Rig, tmp_path: Path, identity: str) -> None:
    """Breaks if a name becomes part of the page's code, or ends a text of USD, or is another name afterwards."""
    rig = replace(ball, basis=ball.basis.repeat(2, axis=0), names=("a b", "a_b"))
    clip = MotionClip(np.zeros((1, 2), np.float32), rig, 30.0, {"identity": identity})
    write_html(clip, tmp_path / "a.html")
    page = PageReader((tmp_path / "a.html").read_bytes().decode())
    assert [tag for tag, _ in page.elements].count("script") == 4 and [tag for tag, _ in page.elements].count("b") == 1
    assert json.loads(page.texts["config"])["names"] == ["a b", "a_b"]
    write_usda(clip, tmp_path / "a.usda")
    text = (tmp_path / "a.usda").read_bytes().decode()
    (line,) = [line for line in text.split("\n") if line.startswith("        string identity = ")]
    quoted = re.fullmatch(r'        string identity = "((?:[^"\\\x00-\x1f\x7f]|\\["\\]|\\x[0-9a-f]{2})*)"', line)
    assert quoted is not None, line
    assert re.sub(r"\\(?:x(..)|(.))", lambda match: chr(int(match[1], 16)) if match[1] else match[2], quoted[1]) == identity
    assert text.count('def BlendShape "a_b"') == 1 and text.count('def BlendShape "a_b_2"') == 1


@pytest.mark.parametrize("name", ["take@@@2.wav", "@@@.wav", "a@.wav", "a\\@@@b.wav", "@@@@@@@.wav", "x'\".wav"])
def test_a_path_in_usd_is_read_back(ball: Rig, tmp_path: Path, name: str) -> None:
    """Breaks if a recording's name ends USD's quotes, or leads to another file."""
    (tmp_path / name).write_bytes(b"")
    write_usda(MotionClip(np.zeros((1, 1), np.float32), ball, 30.0, {}, tmp_path / name), tmp_path / "a.usda")
    (line,) = [line for line in (tmp_path / "a.usda").read_text().splitlines() if "filePath" in line]
    # The grammar of OpenUSD's lexer for a path in three signs.
    found = re.fullmatch(r"    uniform asset filePath = @@@((?:[^@\n\\]|\\@@@|\\|@{1,2}(?!@))*?@{0,2})@@@", line)
    assert found is not None and found[1].replace("\\@@@", "@@@") == name, line
    with pytest.raises(OutputError, match="line break"):
        write_usda(MotionClip(np.zeros((1, 1), np.float32), ball, 30.0, {}, tmp_path / "a\nb.wav"), tmp_path / "b.usda")
    assert not (tmp_path / "b.usda").exists()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "wrong", [np.nan, np.inf, -np.inf, np.float32(3e38)], ids=["nan", "inf", "-inf", "beyond float32 when decoded"]
)
def test_a_motion_that_is_not_finite_is_refused(own: Rig, tmp_path: Path, suffix: str, wrong: float) -> None:
    """Breaks if NaN or infinity is written into any format."""
    coefficients = np.zeros((4, 52), np.float32)
    coefficients[2, 3] = wrong
    output = tmp_path / "frames" / f"%d{suffix}" if suffix in (".obj", ".ply") else tmp_path / f"a{suffix}"
    with pytest.raises(InputError, match="finite"):
        write_motion_clip(MotionClip(coefficients, own, 30.0), output)
    with pytest.raises(InputError, match="frames a second"):
        write_motion_clip(MotionClip(coefficients[:1], own, float("nan")), output)
    with pytest.raises(InputError, match="finite"):
        bad = replace(own, template=np.where(own.template > 0.1, np.float32(np.nan), own.template))
        write_motion_clip(MotionClip(coefficients[:1], bad, 30.0), output)
    assert not list(tmp_path.iterdir())


def test_names_cannot_break_the_page(invoke: Talker, motion_path: Path, tmp_path: Path) -> None:
    """Breaks if a recording's name becomes part of the page's code."""
    name = "</script><b>&.wav"
    soundfile.write(tmp_path / "x.wav", spoken(0.5), 16_000)
    (tmp_path / "x.wav").rename(tmp_path / name.replace("/", "∕"))
    ran = invoke("export", motion_path.name, "--audio", name.replace("/", "∕"), "-o", "a.html")
    assert ran.code == 0, ran.err
    page = PageReader((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.elements].count("script") == 4 and [tag for tag, _ in page.elements].count("b") == 1


@pytest.mark.slow
def test_meshes_come_back(invoke: Talker, motion_path: Path, own: Rig, tmp_path: Path) -> None:
    """Breaks if a frame is missing, misnumbered, or another mesh."""
    (tmp_path / "ply").mkdir()
    exported(invoke, motion_path, "obj/%03d.obj", "ply/f%d.ply")
    assert left(tmp_path / "obj") == {f"{index:03d}.obj" for index in range(FRAMES)}
    assert left(tmp_path / "ply") == {f"f{index}.ply" for index in range(FRAMES)}
    vertices = read_motion(motion_path).vertices
    assert own.colors is not None
    for index in (0, FRAMES - 1):
        lines = [line.split() for line in (tmp_path / "obj" / f"{index:03d}.obj").read_text().splitlines()]
        points = np.array([line[1:] for line in lines if line[0] == "v"], float)
        assert np.abs(points[:, :3] - vertices[index]).max() < 1e-6
        assert np.abs(points[:, 3:] * 255 - own.colors).max() < 0.2
        assert (np.array([line[1:] for line in lines if line[0] == "f"], int) == own.faces + 1).all()

        head, _, body = (tmp_path / "ply" / f"f{index}.ply").read_bytes().partition(b"end_header\n")
        assert b"element vertex %d\n" % len(own.template) in head and b"element face %d\n" % len(own.faces) in head
        table = np.dtype([("at", "<f4", 3), ("color", "u1", 3)])
        read = np.frombuffer(body, table, len(own.template))
        assert (read["at"] == vertices[index]).all() and (read["color"] == own.colors).all()
        faces = np.frombuffer(body, [("n", "u1"), ("v", "<i4", 3)], offset=len(own.template) * table.itemsize)
        assert (faces["n"] == 3).all() and (faces["v"] == own.faces).all()


@pytest.mark.slow
def test_animate_writes_several_at_once(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if the shipped model's motion differs from format to format, or a film is silent."""
    wav = tmp_path / "speech.wav"
    soundfile.write(wav, spoken(0.45), 16_000)
    places = ("a.npy", "a.csv", "a.glb", "a.mp4")
    ran = invoke("animate", wav, "--device", "cpu", *(word for place in places for word in ("-o", place)))
    assert (ran.code, ran.out.split()) == (0, list(places)), ran.err
    coefficients = np.load(tmp_path / "a.coefficients.npy")
    assert len(coefficients) == 13 and coefficients[:, :52].max() > 0.05
    glb = Glb(tmp_path / "a.glb")
    assert (glb.array(glb.tree["animations"][0]["samplers"][0]["output"]).reshape(-1, 52) == coefficients[:, :52]).all()
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 14
    said = streams(tmp_path / "a.mp4")
    assert "h264" in said and "Audio: aac" in said and "30 fps" in said
    assert left(tmp_path) == {"speech.wav", *places, "a.coefficients.npy", "a.json"}
    again = invoke("export", "a.npy", "-o", "b.npy")
    assert again.code == 0 and sha256(tmp_path / "b.npy") == sha256(tmp_path / "a.npy")


@pytest.mark.slow
def test_a_recording_that_has_moved(invoke: Talker, motion_path: Path, tmp_path: Path) -> None:
    """Breaks if coefficients cannot be had without the sound, or a page falls silent without a word."""
    (tmp_path / "speech.wav").rename(tmp_path / "moved.wav")
    assert invoke("export", motion_path.name, "-o", "a.csv", "-o", "a.glb").code == 0
    before = left(tmp_path)
    assert "give the recording (--audio)" in invoke("export", motion_path.name, "-o", "a.html").mistake
    assert left(tmp_path) == before
    assert invoke("export", motion_path.name, "-o", "a.html", "--audio", "moved.wav").code == 0
    about = json.loads((tmp_path / "take.json").read_text())
    (tmp_path / "take.json").write_text(json.dumps({**about, "audio": None}))
    ran = invoke("export", motion_path.name, "-o", "a.usda")
    assert ran.code == 0 and "names no recording" in ran.err and "SpatialAudio" not in (tmp_path / "a.usda").read_text()


def test_another_recording_is_the_motions_from_then_on(invoke: Talker, motion_path: Path, tmp_path: Path) -> None:
    """Breaks if a copy names the recording that is gone."""
    (tmp_path / "speech.wav").rename(tmp_path / "moved.wav")
    assert invoke("export", motion_path.name, "-o", "copy.npy", "--audio", "moved.wav").code == 0
    about = json.loads((tmp_path / "copy.json").read_text())["audio"]
    assert about == {"path": str(tmp_path / "moved.wav"), "sha256": sha256(tmp_path / "moved.wav")}
    assert invoke("export", "copy.npy", "-o", "a.html").code == 0


@pytest.mark.parametrize("rate", [None, 0, -5, float("nan"), "thirty"])
@pytest.mark.slow
def test_a_rate_that_is_none_is_refused(invoke: Talker, motion_path: Path, tmp_path: Path, rate: object) -> None:
    """Breaks if a file gets times that no program can read, or the line is a traceback."""
    about = json.loads((tmp_path / "take.json").read_text())
    (tmp_path / "take.json").write_text(json.dumps({**about, "fps": rate}))
    for name in ("a.csv", "a.glb", "a.usda"):
        ran = invoke("export", motion_path.name, "-o", name)
        if rate is None:  # then it is the rig's
            assert ran.code == 0
        else:
            assert "take.json is damaged (fps: " in ran.mistake and not (tmp_path / name).exists()


# What is refused


@pytest.mark.parametrize(
    "places,words",
    [
        (("a.fbx",), "expected a name that ends in one of .npy"),
        (("a",), "expected a name that ends in one of .npy"),
        (("a.glb", "a.glb"), "found a.glb twice"),
        (("a.npy", "a.json"), "a.npy and a.json both write a.json"),
        (("a.glb", "./x/../a.glb"), "both write"),
        (("a.obj",), "expected a pattern: a/%04d.obj"),
        (("%04d.ply",), "expected a folder of its own"),
        (("f/%04d.ply", "f/%04d.obj"), "both write f"),
        (("f/%04d.ply", "f/a.csv"), "does not exist"),
        (("f/%s.ply",), "expected a pattern"),
        (("mine/%04d.ply",), "it is not empty"),
        (("missing/a.csv",), "the folder missing does not exist"),
        (("missing/f/%04d.obj",), "the folder missing does not exist"),
        (("a.glb", "/proc/a.html"), "cannot write /proc/a.html"),
        (("speech.wav/a.csv",), "is not a folder"),
        (("take.npy",), "is what is read"),
        (("take.json",), "is what is read"),
        ((), "found no -o"),
    ],
)
@pytest.mark.slow
def test_outputs_that_cannot_be(invoke: Talker, motion_path: Path, tmp_path: Path, places: tuple[str, ...], words: str) -> None:
    """Breaks if work begins, or a file appears, before it is known that all results can be kept."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep me")
    before = left(tmp_path)
    options = [word for place in places for word in ("-o", place)]
    assert words in invoke("export", motion_path.name, *options).mistake
    assert left(tmp_path) == before
    if places and places[0] not in ("take.npy", "take.json"):
        assert words in invoke("animate", "speech.wav", *options).mistake
        assert left(tmp_path) == before


def test_the_recording_is_never_overwritten(invoke: Talker, tmp_path: Path) -> None:
    """Breaks if animating a film into a film of the same name destroys it."""
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "talk.mp4")
    before = sha256(tmp_path / "talk.mp4")
    assert "that is read" in invoke("animate", "talk.mp4", "-o", "talk.mp4").mistake
    assert sha256(tmp_path / "talk.mp4") == before


@pytest.mark.parametrize(
    "damage,words",
    [("gone", "no file take.coefficients.npy"), ("nan", "finite"), ("short", "(35, 52)"), ("other", "does not belong to")],
)
def test_coefficients_that_do_not_fit(invoke: Talker, motion_path: Path, tmp_path: Path, damage: str, words: str) -> None:
    """Breaks if coefficients of another motion are exported."""
    place = motion_path.with_suffix(".coefficients.npy")
    coefficients = coefficients_of(motion_path)
    if damage == "gone":
        place.unlink()
    elif damage == "nan":
        coefficients[3, 3] = np.nan
        np.save(place, coefficients)
    else:
        np.save(place, coefficients[:-1])
    about = json.loads(motion_path.with_suffix(".json").read_text())
    if damage != "other":  # nor does somebody who wrote the sidecar by hand
        motion_path.with_suffix(".json").write_text(json.dumps({key: value for key, value in about.items() if key != "files"}))
    before = left(tmp_path)
    assert words in invoke("export", motion_path.name, "-o", "a.csv").mistake
    assert left(tmp_path) == before


# ARKit's coefficients of motions that have others


def test_least_squares_against_every_active_set() -> None:
    """Breaks if the solver stops short of the optimum: compared with trying which coefficients lie at which bound."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        shapes = rng.normal(size=(5, 12))
        shapes[4] = shapes[3] + 0.1 * shapes[4]  # two that look alike, as ARKit's do
        targets = rng.normal(size=(3, 12)) + shapes.sum(0)
        gram, towards = shapes @ shapes.T, targets @ shapes.T
        found = bounded_least_squares(gram, towards)
        assert found.min() >= 0 and found.max() <= 1
        for row, target in zip(found, targets, strict=True):
            error = ((row @ shapes - target) ** 2).sum()
            assert error <= naive(shapes, target) + 1e-6


def naive(shapes: np.ndarray, target: np.ndarray) -> float:
    """Return the least squared error over coefficients in 0…1, by trying every set of bounds."""
    best = np.inf
    for bounds in itertools.product((0.0, 1.0, None), repeat=len(shapes)):
        values = np.array([0.0 if bound is None else bound for bound in bounds])
        free = [k for k, bound in enumerate(bounds) if bound is None]
        if free:
            values[free] = np.linalg.lstsq(shapes[free].T, target - values @ shapes, rcond=None)[0]
        if values.min() >= -1e-12 and values.max() <= 1 + 1e-12:
            best = min(best, float(((values @ shapes - target) ** 2).sum()))
    return best


def test_arkit_coefficients_are_solved_on_our_mesh(own: Rig) -> None:
    """Breaks if a motion in other coefficients of the head's mesh becomes another motion in ARKit's."""
    rng = np.random.default_rng(1)
    coefficients = np.clip(rng.normal(0.1, 0.3, (12, 52)), 0, 1).astype(np.float32)
    mix = np.linalg.qr(rng.normal(size=(52, 52)))[0].astype(np.float32)
    rig = replace(own, names=tuple(f"pca_{k:03d}" for k in range(52)), basis=np.tensordot(mix.T, own.basis, 1))
    solved = arkit_coefficients(MotionClip(coefficients @ mix, rig, 30.0))
    assert solved.shape == coefficients.shape and solved.min() >= 0 and solved.max() <= 1
    assert np.linalg.norm(own.decode(solved) - own.decode(coefficients), axis=2).max() < 1e-5


def test_arkit_coefficients_of_another_mesh_are_refused(own: Rig) -> None:
    """Breaks if numbers are made up for a mesh that has no ARKit shapes, or its owner is."""
    rig = replace(own, names=tuple(f"pca_{k:03d}" for k in range(52)), faces=own.faces[::-1])
    with pytest.raises(InputError, match=r"choose another format than \.csv"):
        arkit_coefficients(MotionClip(np.zeros((2, 52), np.float32), rig, 30.0))
    assert copyright_of(rig) is None and copyright_of(own) == OWN_HEAD


def test_a_long_seed_stays_a_whole_number_in_usd(own: Rig, tmp_path: Path) -> None:
    """Breaks if a seed of more than ten digits is written with an exponent, which no reader of USD takes for a whole number."""
    write_usda(MotionClip(np.zeros((1, 52), np.float32), own, 30.0, {"seed": 98_765_432_109}), tmp_path / "s.usda")
    assert "int64 seed = 98765432109\n" in (tmp_path / "s.usda").read_text()
