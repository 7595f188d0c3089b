"""Many recordings: a checked list of jobs, one for each motion, and the share of it that this process does."""

import csv
import glob
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from talker_cli.errors import InputError, OutputError
from talker_cli.export.formats import check_outputs, format_of, suffix_of
from talker_cli.formats.audio import check_file
from talker_cli.formats.files import files_below

# Suffixes of recordings in a folder; a file that is named may be anything that ffmpeg reads.
SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .mp4 .m4v .mov .mkv .webm .avi .aiff .aif .au .g722 .wma .amr .caf .3gp".split()
)
NAME = "{name}"
COLUMNS = ("audio", "identity", "output")
LARGEST_MANIFEST = 1 << 26  # bytes
DEFAULT_OUTPUT = "out.npy"


@dataclass(frozen=True)
class Job:
    """One motion to make.

    Args:
        audio: Recording.
        outputs: Files to write, each in the format of its suffix.
        identity: Identity that speaks.
        seed: Seed of the noise.
    """

    audio: Path
    outputs: tuple[Path, ...]
    identity: str
    seed: int

    @cached_property
    def files(self) -> dict[Path, Path]:
        """Everything that is written, resolved, by the output it belongs to; a folder where there are many files."""
        return {file.resolve(): output for output in self.outputs for file in format_of(output).files(output)}

    def exists(self) -> bool:
        """Return whether all its files exist."""
        return all(any(file.iterdir()) if file.is_dir() else file.exists() for file in self.files)

    def check(self) -> None:
        """Refuse a recording or an output that cannot be used, before any work.

        Raises:
            InputError: the recording is missing, empty, no file, or cannot be read.
            OutputError: an output cannot be written, or would overwrite the recording or another output.
        """
        check_file(self.audio)
        check_outputs(self.outputs, [self.audio])

    def make_folders(self) -> None:
        """Make the folders of all outputs.

        Raises:
            OutputError: one cannot be made.
        """
        for file, output in self.files.items():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot make the folder of {output} ({error.strerror}); choose another", "output") from error


@dataclass(frozen=True)
class Plan:
    """The jobs of one command.

    Args:
        jobs: Jobs of this process that are still to be done.
        many: Whether many recordings were asked for: folders are made, and a job that fails does not end the others.
        notes: Lines for the user.
    """

    jobs: tuple[Job, ...]
    many: bool
    notes: tuple[str, ...] = ()


def plan_jobs(
    sources: Sequence[str],
    outputs: Sequence[Path] = (),
    *,
    identity: str,
    manifest: Path | None = None,
    seed: int = 0,
    samples: int = 1,
    skip_existing: bool = False,
) -> Plan:
    """Return the jobs of recordings, folders and patterns, or of a manifest: all that can be refused at once is refused.

    Args:
        sources: Recordings; folders, with all recordings below them; patterns such as `talks/*.wav`.
        outputs: Outputs of one recording. Of many: folders, or names with `{name}` for the recording's name.
        identity: Identity that speaks, unless the manifest names one.
        manifest: CSV with the columns audio, identity, output, in place of `sources`.
        seed: Seed of the noise.
        samples: Motions of each recording, with seeds one after the other, to `out-1.npy`, `out-2.npy`, …
        skip_existing: Whether jobs are left out whose files exist.

    Raises:
        InputError: no recording, or a manifest that cannot be used.
        OutputError: an unknown suffix, one file written by two jobs, or a recording or the manifest overwritten.
    """
    if manifest is None and not sources:
        raise InputError("found no recording; expected one, for example: talker animate speech.wav")
    if manifest is not None and sources:
        raise InputError(f"found {sources[0]} and a manifest; expected recordings or a manifest; leave one out", "manifest")
    many = manifest is not None or len(sources) != 1 or os.path.isdir(sources[0]) or _is_pattern(sources[0])
    places = _for_many(outputs) if many else list(outputs) or [Path(DEFAULT_OUTPUT)]
    if manifest is not None:
        jobs = read_manifest(manifest, identity, places, seed)
    else:
        found = find_recordings(sources) if many else [(Path(sources[0]), Path(sources[0]).stem)]
        jobs = [Job(audio, tuple(_named(places, name)), identity, seed) for audio, name in found]
    if samples > 1:
        jobs = [
            Job(job.audio, tuple(_numbered(each, number + 1) for each in job.outputs), job.identity, job.seed + number)
            for job in jobs
            for number in range(samples)
        ]
    _check_jobs(jobs, manifest)
    notes = []
    rank, world = _shard()
    if world > 1:
        total, jobs = len(jobs), jobs[rank::world]
        notes.append(f"process {rank + 1} of {world}: {len(jobs)} of {total} motions")
    if skip_existing:
        total, jobs = len(jobs), [job for job in jobs if not job.exists()]
        notes.append(f"{total - len(jobs)} of {total} motions exist already")
    if not many:
        for job in jobs:
            job.check()
    return Plan(tuple(jobs), many, tuple(notes))


def find_recordings(sources: Sequence[str]) -> list[tuple[Path, str]]:
    """Return the recordings of files, folders and patterns, each with its `{name}`.

    A folder gives every file below it with a recording's suffix; the name keeps the folders between.

    Raises:
        InputError: a folder or a pattern without a recording, or a folder that cannot be read.
    """
    found: dict[Path, str] = {}
    for source in sources:
        path = Path(source)
        if os.path.isdir(path):  # False without the permission to look; the job says so later
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
        path: CSV file; the paths in it are relative to its folder.
        identity: Identity of the rows without one.
        outputs: Outputs of the rows without one; `{name}` is the recording's name without its suffix.
        seed: Seed of the noise.

    Raises:
        InputError: no such file, no column `audio`, an unknown column, or a row without a recording.
        OutputError: a row's output lies outside the manifest's folder and outside the folders of `outputs`.
    """
    expected = f"expected a CSV with the columns {', '.join(COLUMNS)}"
    try:
        if path.exists() and not path.is_file():  # a device without end, or a pipe that nobody writes to
            raise InputError(f"{path} is not a file; {expected}")
        with path.open("rb") as stream:
            data = stream.read(LARGEST_MANIFEST + 1)
        if len(data) > LARGEST_MANIFEST:
            raise InputError(f"{path} is larger than {LARGEST_MANIFEST >> 20} MB; {expected}; split it")
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        columns = reader.fieldnames or []
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({getattr(error, 'strerror', None) or error}); {expected}") from error
    if "audio" not in columns or set(columns) - set(COLUMNS) or len(set(columns)) < len(columns):
        raise InputError(f"{path} has the columns {', '.join(columns)}; expected {', '.join(COLUMNS)} in its first line")
    allowed = [folder.resolve() for folder in (path.parent, *(_folder(output) for output in outputs))]
    jobs = []
    for number, row in rows:
        cells = list(row.values())
        if not row["audio"] or None in row or any("\0" in cell for cell in cells if cell):
            raise InputError(f"{path} names no recording, or too much, in line {number}; expected {', '.join(COLUMNS)}")
        audio = path.parent / row["audio"]
        if row.get("output"):
            places = [path.parent / row["output"]]
            if not any(places[0].resolve().is_relative_to(folder) for folder in allowed):
                raise OutputError(
                    f"{path} names the output {row['output']} in line {number}; expected a place in the manifest's folder or "
                    "the output folder; change it, or give its folder as the output",
                    field="output",
                )
        else:
            places = _named(outputs, audio.stem)
        jobs.append(Job(audio, tuple(places), row.get("identity") or identity, seed))
    return jobs


def _check_jobs(jobs: Sequence[Job], manifest: Path | None) -> None:
    """Refuse jobs that would overwrite each other, or a file that is read.

    Raises:
        OutputError: an unknown suffix, two jobs with one output, or an output that is a recording or the manifest.
    """
    recordings = {job.audio.resolve() for job in jobs}
    written: dict[Path, Job] = {}
    for job in jobs:
        for file, output in job.files.items():
            if manifest is not None and file == manifest.resolve():
                raise OutputError(f"cannot write {output}: it is the manifest that is read; choose another output")
            if file in recordings:
                raise OutputError(f"cannot write {output}: {file} is a recording that is read; choose another", field="output")
            if file in written:
                raise OutputError(
                    f"{written[file].audio} and {job.audio} would both write {output}; rename one, or name an output for each "
                    "in a manifest"
                )
        written |= dict.fromkeys(job.files, job)


def _shard() -> tuple[int, int]:
    """Return this process' rank and the number of processes: (0, 1), or what torchrun says.

    Raises:
        InputError: RANK and WORLD_SIZE are not two such numbers.
    """
    rank, world = os.environ.get("RANK") or "0", os.environ.get("WORLD_SIZE") or "1"
    if not (rank.isascii() and rank.isdigit() and world.isascii() and world.isdigit() and int(rank[:9]) < int(world[:9])):
        raise InputError(
            f"found RANK={rank} and WORLD_SIZE={world} in the environment; expected numbers, RANK the smaller; unset them"
        )
    return int(rank[:9]), int(world[:9])


def barrier() -> None:
    """Under torchrun, wait for all processes: torchrun would stop the others when one has ended with failures."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or _shard()[1] == 1:
        return
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=timedelta(days=30))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _for_many(outputs: Sequence[Path]) -> list[Path]:
    """Return outputs with a `{name}` for each of many recordings; a folder is given one.

    Raises:
        OutputError: an output is the name of a single file.
    """
    spread = []
    for output in outputs or [Path(f"{NAME}.npy")]:
        if NAME in str(output):
            spread.append(output)
        elif output.is_dir() or not output.suffix:
            spread.append(output / f"{NAME}.npy")
        else:
            raise OutputError(
                f"found the output {output} for many recordings; expected a folder, or {NAME} in it: '{NAME}{output.suffix}'",
                field="output",
            )
    return spread


def _is_pattern(source: str) -> bool:
    return any(sign in source for sign in "*?[") and not os.path.exists(source)


def _folder(output: Path) -> Path:
    """Return the folder of an output, as far as it is the same for all recordings."""
    return next((parent for parent in output.parents if NAME not in str(parent)), Path())


def _named(outputs: Iterable[Path], name: str) -> list[Path]:
    return [Path(str(output).replace(NAME, name)) for output in outputs]


def _numbered(output: Path, number: int) -> Path:
    if output not in format_of(output).files(output) and output.parent.name:  # a mesh a frame: a folder a sample
        return output.parent.with_name(f"{output.parent.name}-{number}") / output.name
    suffix = suffix_of(output)
    return output.with_name(f"{output.name.removesuffix(suffix)}-{number}{suffix}")
