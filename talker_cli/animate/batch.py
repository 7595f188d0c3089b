"""Many recordings: which they are, where the motion of each goes, and which of them this process does."""

import csv
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from talker_cli.errors import InputError, OutputError
from talker_cli.export.formats import format_of
from talker_cli.formats.files import files_below

# What is taken for a recording in a folder; a file that is named may be anything that ffmpeg reads.
SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .mp4 .m4v .mov .mkv .webm .avi .aiff .aif .au .g722 .wma .amr .caf .3gp".split()
)
NAME = "{name}"
COLUMNS = ("audio", "identity", "output")


@dataclass(frozen=True)
class Job:
    """One motion that is wanted.

    Args:
        audio: the recording.
        outputs: where its motion goes, a format each.
        identity: who speaks.
        seed: of the noise.
    """

    audio: Path
    outputs: tuple[Path, ...]
    identity: str
    seed: int

    def exists(self) -> bool:
        """Say whether all that it would write is there."""
        return all(_is_there(file) for output in self.outputs for file in format_of(output).files(output))


def is_many(sources: Sequence[str]) -> bool:
    """Say whether sources are more than one recording: several, a folder, or a pattern."""
    return len(sources) != 1 or os.path.isdir(sources[0]) or _is_pattern(sources[0])


def find_recordings(sources: Sequence[str]) -> list[tuple[Path, str]]:
    """Return the recordings that files, folders and patterns lead to, each with the name that `{name}` stands for.

    A folder gives everything below it that is named like a recording; their names keep the folders between.

    Raises:
        InputError: a folder or a pattern leads to none, or a folder cannot be read.
    """
    found: dict[Path, str] = {}
    for source in sources:
        path = Path(source)
        if os.path.isdir(path):  # False where nobody may look, which is said when the recording's turn comes
            inside = [each for each in files_below(path) if each.suffix.lower() in SUFFIXES]
            if not inside:
                raise InputError(f"found no recording in {path}; expected wav, flac, mp3, m4a, mp4, …; give another folder")
            found |= {each: str(each.relative_to(path).with_suffix("")) for each in inside if each not in found}
        elif _is_pattern(source):
            fitting = sorted(Path(each) for each in glob.glob(source, recursive=True) if Path(each).is_file())
            if not fitting:
                raise InputError(f"found no file that fits {source}; expected recordings; check the pattern")
            found |= {each: each.stem for each in fitting if each not in found}
        else:
            found.setdefault(path, path.stem)
    return list(found.items())


def read_manifest(path: Path, identity: str, outputs: Sequence[Path], seed: int) -> list[Job]:
    """Read a CSV with the columns audio, identity, output; the last two may be empty or missing.

    Args:
        path: the CSV; the paths in it are relative to its folder.
        identity: of the rows without one.
        outputs: places of the rows without one; `{name}` is the recording's name without its suffix.
        seed: of the noise.

    Raises:
        InputError: no such file, no column `audio`, another column, or a row without a recording.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({error}); expected a CSV with the columns {', '.join(COLUMNS)}") from error
    if "audio" not in columns or set(columns) - set(COLUMNS):
        raise InputError(f"{path} has the columns {', '.join(columns)}; expected {', '.join(COLUMNS)} in its first line")
    jobs = []
    for number, row in enumerate(rows, 2):
        if not row["audio"] or None in row:
            raise InputError(f"{path} names no recording, or too much, in line {number}; expected {', '.join(COLUMNS)}")
        audio = path.parent / row["audio"]
        places = [path.parent / row["output"]] if row.get("output") else _named(outputs, audio.stem)
        jobs.append(Job(audio, tuple(places), row.get("identity") or identity, seed))
    return jobs


def plan(recordings: Sequence[tuple[Path, str]], identity: str, outputs: Sequence[Path], seed: int) -> list[Job]:
    """Return a job for each recording (path, name); `{name}` in an output stands for the recording's name."""
    return [Job(audio, tuple(_named(outputs, name)), identity, seed) for audio, name in recordings]


def takes(jobs: Sequence[Job], samples: int) -> list[Job]:
    """Return `samples` jobs for each, with seeds that follow each other; a second take of `out.npy` is `out-2.npy`."""
    if samples == 1:
        return list(jobs)
    return [
        Job(job.audio, tuple(_numbered(each, take + 1) for each in job.outputs), job.identity, job.seed + take)
        for job in jobs
        for take in range(samples)
    ]


def check_jobs(jobs: Sequence[Job], manifest: Path | None = None) -> None:
    """Refuse jobs that would overwrite each other, or what they read.

    Args:
        jobs: all of them.
        manifest: that they come from, if they do.

    Raises:
        OutputError: an unknown suffix, two jobs with one output, or an output that is a recording or the manifest.
    """
    owner = {job.audio.resolve(): None for job in jobs}
    read = None if manifest is None else manifest.resolve()
    written: dict[Path, Job] = {}
    for job in jobs:
        for output in job.outputs:
            for file in format_of(output).files(output):
                place = file.resolve()
                if place == read:
                    raise OutputError(f"cannot write {output}: {file} is the manifest that is read; choose another output")
                if place in owner:
                    raise OutputError(f"cannot write {output}: {file} is a recording that is read; choose another -o")
                if place in written:
                    other = written[place].audio
                    raise OutputError(
                        f"{other} and {job.audio} would both write {file}; rename one, or name a place for each in a --manifest"
                    )
                written[place] = job


def shard(jobs: Sequence[Job]) -> list[Job]:
    """Return this process' jobs: all of them, or its share under torchrun."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return list(jobs[rank::world])


def barrier() -> None:
    """Under torchrun, wait until all processes have done their share: it stops all as soon as one has ended with failures."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=timedelta(days=30))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def spread(outputs: Sequence[Path], default: str) -> list[Path]:
    """Return outputs that have a place for each of many recordings.

    Args:
        outputs: as given: a folder, or a name with `{name}` in it.
        default: the name in a folder.

    Raises:
        OutputError: one is a single file's name.
    """
    spread_out = []
    for output in outputs or [Path(default)]:
        if NAME in str(output):
            spread_out.append(output)
        elif output.is_dir() or not output.suffix:
            spread_out.append(output / default)
        else:
            raise OutputError(
                f"found -o {output} for many recordings; expected a folder, or {NAME} in it: -o '{NAME}{output.suffix}'"
            )
    return spread_out


def _is_there(place: Path) -> bool:
    """Say whether a file is there, or a folder with something in it."""
    return any(place.iterdir()) if place.is_dir() else place.exists()


def _is_pattern(source: str) -> bool:
    return any(sign in source for sign in "*?[") and not Path(source).exists()


def _named(outputs: Sequence[Path], name: str) -> list[Path]:
    return [Path(str(output).replace(NAME, name)) for output in outputs]


def _numbered(output: Path, number: int) -> Path:
    if output not in format_of(output).files(output) and output.parent.name:  # a mesh a frame: a folder a take
        return output.parent.with_name(f"{output.parent.name}-{number}") / output.name
    return output.with_name(f"{output.stem}-{number}{output.suffix}")
