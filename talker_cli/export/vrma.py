"""VRM animation (.vrma): expressions, the head's rotation and the gaze, for any VRM 1.0 or 0.x."""

from pathlib import Path
from typing import Any

import numpy as np

from talker_cli.avatar.drive import expressions_drive
from talker_cli.avatar.scene import quaternions_of
from talker_cli.avatar.spoken import ANIMATION, gaze
from talker_cli.avatar.table import built_in
from talker_cli.export.arkit import arkit_coefficients
from talker_cli.export.attribution import GENERATOR
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import write_bytes
from talker_cli.formats.gltf import GlbWriter
from talker_cli.rig import head_matrices

# The bones that VRM requires, in its T-pose: the bone above and the place from there, metres. Only the head ever turns.
SKELETON: dict[str, tuple[str | None, tuple[float, float, float]]] = {
    "hips": (None, (0.0, 1.0, 0.0)),
    "spine": ("hips", (0.0, 0.1, 0.0)),
    "neck": ("spine", (0.0, 0.35, 0.0)),
    "head": ("neck", (0.0, 0.1, 0.0)),
    "leftUpperLeg": ("hips", (0.1, -0.05, 0.0)),
    "leftLowerLeg": ("leftUpperLeg", (0.0, -0.45, 0.0)),
    "leftFoot": ("leftLowerLeg", (0.0, -0.4, 0.0)),
    "rightUpperLeg": ("hips", (-0.1, -0.05, 0.0)),
    "rightLowerLeg": ("rightUpperLeg", (0.0, -0.45, 0.0)),
    "rightFoot": ("rightLowerLeg", (0.0, -0.4, 0.0)),
    "leftUpperArm": ("spine", (0.15, 0.3, 0.0)),
    "leftLowerArm": ("leftUpperArm", (0.25, 0.0, 0.0)),
    "leftHand": ("leftLowerArm", (0.25, 0.0, 0.0)),
    "rightUpperArm": ("spine", (-0.15, 0.3, 0.0)),
    "rightLowerArm": ("rightUpperArm", (-0.25, 0.0, 0.0)),
    "rightHand": ("rightLowerArm", (-0.25, 0.0, 0.0)),
}
EYES = (0.0, 0.06, 0.09)  # from the head


def write_vrma(clip: MotionClip, path: Path) -> None:
    """Write a motion as a VRM animation: of the clip's character's own expressions, or of VRM's presets without one.

    Raises:
        InputError: the rig has no ARKit shapes.
        OutputError: the place cannot be written.
    """
    motion = arkit_coefficients(clip)
    avatar = clip.avatar
    table = avatar.table if avatar is not None else built_in()
    drive = expressions_drive(avatar.file if avatar is not None and avatar.file.vrm else None, table)
    values = drive.values(motion)
    writer = GlbWriter(GENERATOR)
    nodes: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    for bone, (above, place) in SKELETON.items():
        numbers[bone] = len(nodes)
        nodes.append({"name": bone, "translation": list(place)})
        if above is not None:
            nodes[numbers[above]].setdefault("children", []).append(numbers[bone])
    channels: list[tuple[int, str, np.ndarray]] = []
    if clip.rotation is not None:
        channels.append((numbers["head"], "rotation", quaternions_of(head_matrices(clip.rotation.astype(np.float64)))))
    looking = len(nodes)
    nodes[numbers["head"]].setdefault("children", []).append(looking)
    nodes.append({"name": "lookAt", "translation": list(EYES)})
    both = (gaze(motion, "Left") + gaze(motion, "Right")) / 2
    channels.append((looking, "rotation", quaternions_of(head_matrices(both))))
    expressions: dict[str, dict[str, Any]] = {"preset": {}, "custom": {}}
    own = {each.name for each in avatar.file.expressions if each.preset is None} if avatar is not None else set()
    for name, control in drive.expressions.items():
        expressions["custom" if name in own else "preset"][name] = {"node": len(nodes)}
        channels.append((len(nodes), "translation", np.pad(values[:, control, None], ((0, 0), (0, 2)))))
        nodes.append({"name": name})
    clock = writer.accessor((np.arange(len(motion)) / clip.fps).astype(np.float32), bounds=True)
    samplers = [
        {"input": clock, "output": writer.accessor(array.astype(np.float32)), "interpolation": "LINEAR"}
        for _, _, array in channels
    ]
    writer.tree |= {
        "extensionsUsed": ["VRMC_vrm_animation"],
        "extensions": {
            "VRMC_vrm_animation": {
                "specVersion": "1.0",
                "humanoid": {"humanBones": {bone: {"node": number} for bone, number in numbers.items()}},
                "expressions": {kind: entries for kind, entries in expressions.items() if entries},
                "lookAt": {"node": looking},
            }
        },
        "scene": 0,
        "scenes": [{"nodes": [0, *range(looking + 1, len(nodes))]}],
        "nodes": nodes,
        "animations": [
            {
                "name": ANIMATION,
                "samplers": samplers,
                "channels": [
                    {"sampler": number, "target": {"node": node, "path": path_}}
                    for number, (node, path_, _) in enumerate(channels)
                ],
                "extras": clip.origin(),
            }
        ],
    }
    write_bytes(path, writer.to_bytes())
