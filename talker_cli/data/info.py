"""A summary of a prepared dataset; its arrays are not read."""

from collections.abc import Iterator, Mapping
from typing import Any

from talker_cli.data.dataset import SPLITS, Dataset
from talker_cli.rig import ARKIT_NAMES

HOUR = 3600.0  # seconds


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's numbers, JSON-able: clips and hours in all, by split and by identity, mesh, basis, errors, licence."""
    info, rig = dataset.info, dataset.rig.rig
    lengths = {clip.name: dataset.frames(clip.name) / info.fps for clip in info.clips}
    seconds = {recording.name: dataset.seconds(recording.name) for recording in info.recordings}
    splits: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        clips = dataset.clips(split)
        if clips:
            splits[split] = {
                "clips": len(clips),
                "hours": sum(lengths[clip.name] for clip in clips) / HOUR,
                "identities": sorted({clip.identity for clip in clips}),
                "voices": len({dataset.recordings[clip.recording].voice for clip in clips}),
            }
    identities = {
        name: {
            "clips": sum(clip.identity == name for clip in info.clips),
            "hours": sum(lengths[clip.name] for clip in info.clips if clip.identity == name) / HOUR,
            "splits": [split for split in SPLITS if split in splits and name in splits[split]["identities"]],
        }
        for name in info.identities
    }
    return {
        "folder": str(dataset.folder),
        "source": info.source,
        "licence": info.licence,
        "command": info.command,
        "fps": info.fps,
        "clips": len(info.clips),
        "hours": sum(lengths.values()) / HOUR,
        "recordings": len(info.recordings),
        "recorded_hours": sum(seconds.values()) / HOUR,
        "human_hours": sum(seconds[recording.name] for recording in info.recordings if recording.human) / HOUR,
        "languages": sorted({recording.language for recording in info.recordings}),
        "with_phones": sum(bool(recording.phones) for recording in info.recordings),
        "vertices": len(rig.template),
        "faces": len(rig.faces),
        "basis": "ARKit" if rig.face_names == ARKIT_NAMES else "PCA",
        "components": len(rig.face_names),
        "head": rig.has_head,
        "regions": {name: int(mask.sum()) for name, mask in rig.regions.items()},
        "lip_pairs": len(rig.lip_pairs),
        "reconstruction_mm": info.notes.get("reconstruction_mm", {}),
        "splits": splits,
        "identities": identities,
        "notes": {name: value for name, value in info.notes.items() if name != "reconstruction_mm"},
    }


def error_lines(reconstruction: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield a line a split: reconstruction error, root mean square and largest, over all vertices and over the lips."""
    for split, error in reconstruction.items():
        parts = [f"{part} {error[part]:.4f} mm (largest {error[f'{part}_largest']:.3f})" for part in ("all", "lips")]
        yield f"reconstruction error, {split}: {', '.join(parts)}"


def note_lines(notes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the notes of a preparation, a line each; long lists are shortened."""
    for name, value in notes.items():
        if name == "reconstruction_mm":
            yield from error_lines(value)
        elif name != "styles":  # numbers by the dozen: dataset.json has them
            yield f"{name}: {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return _some([f"{key} {_text(entry)}" for key, entry in value.items()], 12)
    return _some(value, 5) if isinstance(value, list) else str(value)


def _some(parts: list[Any], most: int) -> str:
    return ", ".join(map(str, parts[:most])) + (f" and {len(parts) - most} more" if len(parts) > most else "")
