"""What the commands say of the machine, and what shells are told of names."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import IDENTITY, Command, sha256


@pytest.mark.slow
def test_doctor_reports_versions_and_fixes(invoke: Command, model: Path, tmp_path: Path) -> None:
    """Breaks if a sound machine is called ill, weights are told from others by nothing, or what is missing has no remedy."""
    ran = invoke("doctor", "--model", model, "--json")
    found = {row["part"]: row for row in json.loads(ran.out)}
    assert ran.code == 0, [row for row in found.values() if not row["ok"]]
    for name in ("rig", "student", "teacher"):
        assert sha256(model / f"{name}.safetensors")[:16] in found[f"{model}: {name}"]["found"]
    assert {"torch", "ffmpeg", "OpenGL", "devices", "write access"} <= set(found)

    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("rig", "teacher"):
        (broken / f"{name}.safetensors").write_bytes((model / f"{name}.safetensors").read_bytes())
    ran = invoke("doctor", "--model", broken)
    assert ran.code == 1
    wrong = [line for line in ran.out.splitlines() if line.startswith("BAD")]
    assert len(wrong) == 1 and "student" in wrong[0] and "     -> pip install" in ran.out

    ran = invoke("doctor", "--model", "talker-tiny")  # which ships without its teacher
    assert ran.code == 0 and "talker-tiny: teacher: none" in ran.out


def test_identities_are_completed() -> None:
    """Breaks if a shell offers names that do not exist, or not all that begin so."""
    from talker_cli.cli.options import complete_identity

    assert complete_identity("FaceTalk_170725") == [IDENTITY]
    assert len(complete_identity("FaceTalk_")) == 8


@pytest.mark.slow
def test_bench_times_the_teacher_and_not_the_student(invoke: Command, wav: Path, model: Path, tmp_path: Path) -> None:
    """Breaks if eight steps of the student pass for eight of the teacher's."""
    alone = shutil.copytree(model, tmp_path / "alone")
    (alone / "teacher.safetensors").unlink()
    report = json.loads(invoke("bench", wav, "--model", alone, "--runs", "1", "--steps", "8", "--json", "--device", "cpu").out)
    assert report["student"]["seconds"] > 0 and "no teacher" in report["teacher"]["error"]


@pytest.mark.slow
def test_bench_times_every_part(invoke: Command, wav: Path, model: Path) -> None:
    """Breaks if a part is left out, or a number is not one."""
    from talker_cli.machine.bench import rows

    ran = invoke("bench", wav, "--model", model, "--runs", "1", "--steps", "2", "--json", "--device", "cpu")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    for part in ("reading", "encoding", "student", "decoding", "rendering", "teacher", "cold start"):
        assert report[part]["seconds"] > 0, part
    assert report["student"]["steps"] == 8 and report["teacher"]["steps"] == 2
    assert report["method"] == {"statistic": "median", "warm_up_runs": 1, "device_synchronised": True}
    shown = {part: cells for part, *cells in rows(report)}
    assert shown["teacher"][0] == "samples to coefficients, 2 steps, encoding included"
    for part, (_, seconds, speed, runs) in shown.items():
        assert seconds == f"{report[part]['seconds']:.3f}" and runs == str(report[part]["runs"])
        assert speed == (f"{report[part]['times_real_time']:.1f}" if "times_real_time" in report[part] else "–")
    assert set(shown) == set(report) - {"recording", "method", "memory"}
    assert report["student"]["times_real_time"] == pytest.approx(1.21 / report["student"]["seconds"])
