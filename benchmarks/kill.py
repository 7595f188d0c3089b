"""Kill every command that writes, and run it again: no half file, no mixture of two runs, nothing left behind.

    .venv/bin/python benchmarks/kill.py --kills 200

Each command has an earlier result A in place and is killed (SIGKILL) while it makes result B: at a random time, or just before
or after one of its renamings, removals or openings for writing. Then every visible file must be A's or B's, a motion must be
read as A, as B or be refused, and the same command run again must give exactly B's bytes, with no temporary file and no process
left over.
"""

import argparse
import builtins
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from fuzz import SPEECH, make_seeds  # noqa: E402

# Files that say when they were made or how long it took.
UNSTABLE = ("curve.csv", "curve.png", "stages.csv", "stages.png")
SPOKEN = (
    "I am afraid I was unable to create a connection to the Digium demonstration Asterisk server. You may find some helpful "
    "debugging information on the Asterisk console."
)
WORKING = ("unfinished", "tracked", "run-teacher", "run-student")  # folders of a job that goes on
HEAD = SPEECH.parents[1] / "weights" / "talker-base" / "rig.safetensors"


@dataclass
class Job:
    """A command that writes.

    Args:
        earlier: Arguments that make the earlier result A; none for a job that resumes only itself.
        later: Arguments that make B over it.
        motion: The motion among the outputs, if there is one.
    """

    earlier: tuple[Any, ...]
    later: tuple[Any, ...]
    motion: str | None = None


def jobs() -> dict[str, Job]:
    """Return every command that writes, by name; seeds lie in `seeds/`, outputs in the working folder."""
    model = ("--model", "seeds/model", "--device", "cpu")
    take = "seeds/motion/out.npy"
    other = "seeds/motion/other.npy"

    def animate(*outputs: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        places = tuple(part for output in outputs for part in ("-o", output))
        return ("animate", SPEECH, *model, "-i", "Ada", *places), (
            "animate",
            SPEECH,
            *model,
            "-i",
            "Bert",
            "--seed",
            5,
            *places,
        )

    def export(output: str) -> Job:
        return Job(("export", take, "-o", output), ("export", other, "-o", output))

    def render(output: str, *more: Any) -> Job:
        size = ("--size", "64x64", *more)
        return Job(("render", take, "-o", output, *size), ("render", other, "-o", output, *size))

    def prepare(kind: str, folder: str, *more: str) -> Job:
        begin = ("preprocess", kind, f"seeds/{folder}", "-o", "prepared", *more)
        return Job((*begin, "--fps", "15"), (*begin, "--fps", "30"))

    train = ("train", "seeds/dataset", "-o", "trained", "--device", "cpu", "--config", "seeds/run.toml", "--batch-frames", 64)
    distill = ("distill", "taught", "seeds/dataset", "--stage-steps", 1, "--kept-stage-steps", 1, "--batch-frames", 64,
               "--validation-clips", 1, "--device", "cpu")  # fmt: skip
    enroll = ("enroll", "seeds/enroll", "--name", "eve", *model, "-o", "eve.safetensors")
    return {
        "animate": Job(*animate("o.npy"), motion="o.npy"),
        "animate to many": Job(*animate("o.npy", "o.csv", "o.glb"), motion="o.npy"),
        **{f"export {name}": export(f"o.{name}") for name in ("csv", "npz", "json", "glb", "usda", "html")},
        "render mp4": render("o.mp4"),
        "render gif": render("o.gif"),
        "render png": render("o.png", "--at", 0.2),
        "preprocess livelink": prepare("livelink", "livelink"),
        "preprocess beat": prepare("beat", "beat"),
        "preprocess vertices": prepare("vertices", "takes", "--template", "seeds/face.ply", "--source-fps", "30"),
        "preprocess vocaset": prepare("vocaset", "vocaset"),
        "preprocess articulated": Job(
            ("preprocess", "articulated", "seeds/spoken", "-o", "prepared", "--seed", 1, "--processes", 1),
            ("preprocess", "articulated", "seeds/spoken", "-o", "prepared", "--seed", 2, "--processes", 1),
        ),
        "train": Job((), (*train, "--steps", 4)),
        "distill": Job((), distill),
        "enroll": Job((), (*enroll, "--library", "library")),
        "identities rename": Job(
            ("identities", "import", "seeds/anna.safetensors", "--library", "library", "--replace"),
            ("identities", "rename", "anna", "berta", "--library", "library"),
        ),
        "head": Job(("head", "-o", "head.glb"), ("head", "-o", "head.glb", "--shape", "jaw_width=1.1")),
        "capture": Job(*(("capture", f"seeds/films/{who}/film.mp4", "-o", "o.npy") for who in ("Ada", "Bert")), motion="o.npy"),
        "preprocess video": prepare("video", "films", "--processes", "2"),
    }


def make_films(seeds: Path) -> None:
    """Film the built-in head, whose jaw moves, for a second, as two people with sound."""
    from talker_cli.formats.files import file_hash
    from talker_cli.formats.motion import write_motion
    from talker_cli.rig import load_rig

    head = load_rig(HEAD)
    for number, (who, face) in enumerate(zip(("Ada", "Bert"), head.identities, strict=False)):
        folder = seeds / "films" / who
        folder.mkdir(parents=True)
        motion = np.zeros((25, len(head.rig.names)), np.float32)
        motion[:, head.rig.names.index("jawOpen")] = 0.3 * np.sin(np.arange(25) / (3 + number)) ** 2
        about = {"fps": 25.0, "rig": {"path": str(HEAD), "sha256": file_hash(HEAD)}, "face": {"identity": face}}
        write_motion(seeds / f"{who}.npy", head.rig_of(face).decode(motion), motion, about)
        made = run(("render", f"{who}.npy", "-o", folder / "film.mp4", "--size", "192x192", "--audio", SPEECH), seeds)
        assert made == 0, (seeds.parent / "log").read_text()[-500:]


def run(arguments: tuple[Any, ...], folder: Path, at: tuple[str, float] | None = None) -> int:
    """Run a command in a forked process, killed at a moment; return its exit code, or minus the signal.

    Args:
        arguments: The command line.
        folder: Working folder.
        at: ("time", seconds), or ("before"|"after", number of the file operation), or None.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(folder)
        log = os.open(folder.parent / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        count = _kill_at(at[0], int(at[1])) if at is not None and at[0] != "time" else lambda: 0
        code = 70
        try:
            from talker_cli.cli.app import app

            app([str(argument) for argument in arguments], standalone_mode=True)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os.write(log, f"\n{count()} operations".encode())
            os._exit(code)
    began = time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if at is not None and at[0] == "time" and time.monotonic() - began > at[1]:
            os.kill(child, signal.SIGKILL)
        if time.monotonic() - began > 120:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -99
        time.sleep(0.002)


def _kill_at(when: str, number: int) -> Callable[[], int]:
    """Let this process kill itself before or after its `number`-th operation that changes a folder; return what counts them."""
    counted = 0

    def hooked(operation: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal counted
            if not writes(*args, **kwargs):
                return operation(*args, **kwargs)
            counted += 1
            if counted == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = operation(*args, **kwargs)
            if counted == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "link"):
        setattr(os, name, hooked(getattr(os, name), lambda *args, **kwargs: True))
    os.open = hooked(os.open, lambda path, flags, *args, **kwargs: bool(flags & os.O_CREAT))
    builtins.open = hooked(  # type: ignore[assignment]
        builtins.open,
        lambda file, mode="r", *args, **kwargs: isinstance(file, str | Path) and any(sign in mode for sign in "wax"),
    )
    return lambda: counted


def visible(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of every file that a job's outputs consist of."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (
            path.is_file()
            and path.name[0] != "."
            and parts[0] != "seeds"
            and path.name not in UNSTABLE
            and not any(part in WORKING for part in parts)
        ):
            found["/".join(parts)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def litter(folder: Path) -> list[str]:
    """Return hidden files and folders, and folders of unfinished work."""
    seeds = folder / "seeds"
    found = [path for path in folder.rglob("*") if seeds not in path.parents]
    return sorted(
        str(path.relative_to(folder)) for path in found if path.name[0] == "." or path.name in ("unfinished", "tracked")
    )


def left_running(folder: Path) -> list[str]:
    """Return command lines of processes that work in or on the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int(entry.name) != os.getpid() and (entry / "cwd").resolve() == folder:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:100])
    return found


class Rig:
    """A job with its two results, made once."""

    def __init__(self, name: str, job: Job, root: Path, seeds: Path) -> None:
        self.name, self.job, self.root = name, job, root / name.replace(" ", "-")
        self.root.mkdir()
        self.start = self.root / "start"
        self.start.mkdir()
        (self.start / "seeds").symlink_to(seeds)
        (self.start / "library").mkdir()
        if name == "distill":
            shutil.copytree(seeds / "model", self.start / "taught", ignore=shutil.ignore_patterns("student*"))
        assert not job.earlier or run(job.earlier, self.start) == 0, (name, (self.root / "log").read_text()[-500:])
        self.earlier = visible(self.start)
        whole = self.copy("whole")
        began = time.monotonic()
        assert run(job.later, whole, ("count", 0)) == 0, (name, (self.root / "log").read_text()[-500:])
        self.seconds = time.monotonic() - began
        self.operations = int((self.root / "log").read_text().rsplit(maxsplit=2)[-2])
        self.later = visible(whole)
        assert self.later != self.earlier, f"{name}: the two results are the same"
        assert not litter(whole), (name, litter(whole))

    def copy(self, name: str) -> Path:
        """Return a new folder with the earlier result in place."""
        place = self.root / name
        shutil.copytree(self.start, place, symlinks=True)
        return place

    def kill(self, number: int, rng: random.Random) -> list[str]:
        """Kill once, look, run again, look again; return what was wrong."""
        folder = self.copy(f"kill-{number}")
        if rng.random() < 0.4:
            at = ("time", rng.random() * self.seconds)
        else:
            at = (rng.choice(("before", "after")), rng.randint(1, self.operations))
        code = run(self.job.later, folder, at)
        problems = []
        if code not in (0, -9) and not (code == 2 and self.name == "preprocess articulated"):  # a worker was killed
            problems.append(f"exit code {code}")
        for path, digest in visible(folder).items():
            if digest not in (self.earlier.get(path), self.later.get(path)):
                problems.append(f"half file {path}")
        if self.job.motion and code == -9:
            problems += self._motion(folder)
        if code == -9:
            deadline = time.monotonic() + 15  # a worker that is just starting ends when it has
            while (running := left_running(folder)) and time.monotonic() < deadline:
                time.sleep(0.05)
            problems += [f"still running: {line}" for line in running]
        code = run(self.job.later, folder)
        if self.name == "identities rename" and code == 2 and visible(folder) == self.later:
            code = 0  # the killed run had finished
        if code != 0:
            problems.append(f"the next run ended with {code}: {(self.root / 'log').read_text()[-200:]}")
        elif visible(folder) != self.later:
            now = visible(folder)
            differing = [path for path in {**now, **self.later} if now.get(path) != self.later.get(path)]
            problems.append(f"other bytes after the next run: {differing}")
        problems += [f"left behind: {name}" for name in litter(folder)]
        shutil.rmtree(folder)
        return [f"{self.name}, killed {at[0]} {at[1]:.3g}: {problem}" for problem in problems]

    def _motion(self, folder: Path) -> list[str]:
        """Say whether a reader takes a mixture of two runs for one motion."""
        known = set()
        for place in (self.start, self.root / "whole"):
            run(("export", self.job.motion, "-o", place.parent / "known.json"), place)
            known.add((place.parent / "known.json").read_bytes())
        target = folder.parent / "read.json"
        target.unlink(missing_ok=True)
        code = run(("export", self.job.motion, "-o", target), folder)
        if code == 2:
            return []
        if code != 0:
            return [f"reading the motion ended with {code}"]
        return [] if target.read_bytes() in known else ["a mixture of two motions was read as one"]


def main() -> int:
    """Run from the command line; exit code 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="Kills over all commands.")
    parser.add_argument("--only", help="One command.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the moments.")
    options = parser.parse_args()
    import torch  # once, before forking

    torch.set_num_threads(1)
    chosen = {name: job for name, job in jobs().items() if options.only in (None, name)}
    films = {"capture", "preprocess video"} & set(chosen)
    if films and (find_spec("mediapipe") is None or "TALKER_TRACKER" not in os.environ):
        print(f"left out {', '.join(sorted(films))}: expected MediaPipe, and its face_landmarker.task in TALKER_TRACKER")
        chosen, films = {name: job for name, job in chosen.items() if name not in films}, set()
    problems: list[str] = []
    killed: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="talker-kill-") as place:
        root = Path(place)
        seeds = root / "seeds"
        seeds.mkdir()
        make_seeds(seeds)
        (seeds / "spoken").mkdir()
        shutil.copy(SPEECH, seeds / "spoken" / "one.wav")
        (seeds / "spoken" / "one.txt").write_text(SPOKEN)
        if films:
            make_films(seeds)
        for name, job in chosen.items():
            rig = Rig(name, job, root, seeds)
            for number in range(-(-options.kills // len(chosen))):
                found = rig.kill(number, random.Random(f"{options.seed} {name} {number}"))
                killed[name] += 1
                for line in found:
                    print(line, flush=True)
                problems += found
            shutil.rmtree(rig.root)
    minutes = (time.monotonic() - began) / 60
    print(f"{sum(killed.values())} kills over {len(killed)} commands in {minutes:.1f} minutes: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
