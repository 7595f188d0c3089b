"""`talker rig` and `talker convert`: shapes for any head, and motion between topologies. The work is imported inside."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from talker_cli.cli.options import examples, guarded, note, result

UnitOption = Annotated[Literal["m", "cm", "mm"], typer.Option(help="Length unit of the mesh and of its motions.")]
LandmarksOption = Annotated[
    Path | None,
    typer.Option(
        help="Landmarks of the mesh: a MediaPipe number and a vertex a line. [default: FLAME's, or found in a picture]",
        show_default=False,
    ),
]
TrackerOption = Annotated[
    Path | None,
    typer.Option(help="MediaPipe's face_landmarker.task, to find landmarks.", show_default="the one of talker capture"),
]


@examples("talker rig face.obj --unit cm -o rigged.glb", "talker rig FLAME.ply -o flame.safetensors")
@guarded
def rig(
    mesh: Annotated[
        Path, typer.Argument(help="Neutral head: .obj, .ply or .npz, +y up, +z out of the face.", show_default=False)
    ],
    output: Annotated[
        list[Path], typer.Option("--output", "-o", help="Output: .glb, .npz or .safetensors (a rig).", show_default=False)
    ],
    unit: UnitOption = "m",
    landmarks: LandmarksOption = None,
    tracker: TrackerOption = None,
) -> None:
    """Give a neutral head without shapes the 52 ARKit shapes."""
    from talker_cli.formats.files import check_writable
    from talker_cli.head.custom import check_suffix, write_head
    from talker_cli.rigging.convert import read_metric_mesh
    from talker_cli.rigging.rigged import rig_mesh

    for place in output:
        check_suffix(place)
        check_writable(place)
    rigged = rig_mesh(mesh, read_metric_mesh(mesh, unit), landmarks, tracker)
    note(rigged.summary)
    for place in output:
        write_head(rigged.rig, mesh.stem, place)
        result(place)


@examples(
    "talker convert flame.npy --template FLAME.ply --fps 60 -o out.csv",
    "talker convert out.csv --template FLAME.ply -o flame.npy",
)
@guarded
def convert(
    motion: Annotated[
        Path, typer.Argument(help="Vertices (T, V, 3) as .npy, or Live Link Face's curves as .csv.", show_default=False)
    ],
    template: Annotated[
        Path,
        typer.Option(
            help="Neutral mesh of the vertices (.ply, .obj, .npz), or a rig or character with ARKit's shapes "
            "(.safetensors, .glb).",
            show_default=False,
        ),
    ],
    output: Annotated[
        list[Path], typer.Option("--output", "-o", help="Output: any format of talker export.", show_default=False)
    ],
    fps: Annotated[
        float | None, typer.Option(min=1.0, max=1000.0, help="Frame rate, where the motion does not state it.")
    ] = None,
    head: Annotated[bool, typer.Option("--head", help="Read the head's rotation off the vertices.")] = False,
    unit: UnitOption = "m",
    landmarks: LandmarksOption = None,
    tracker: TrackerOption = None,
) -> None:
    """Convert vertices of any head to ARKit's curves, or curves to its vertices."""
    from talker_cli.cli.export import write_outputs
    from talker_cli.errors import InputError
    from talker_cli.export.formats import check_outputs
    from talker_cli.rigging.convert import read_topology, to_curves, to_vertices

    curves = motion.suffix.lower() == ".csv"
    if head and curves:
        raise InputError("found --head with curves; expected it with vertices: curves hold the head's rotation already")
    check_outputs(output, [motion, template])
    topology, rigged = read_topology(template, unit, landmarks, tracker)
    if rigged is not None:
        note(rigged.summary)
    if curves:
        clip = to_vertices(motion, topology, unit, fps)
    else:
        clip, errors = to_curves(motion, topology, unit, fps, head=head)
        note(str(errors))
    write_outputs(clip, output)
