"""OpenUSD as text (.usda): the head with UsdSkel blend shapes, their animation, materials, and the sound."""

import os
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from talker_cli.avatar.scene import quaternions_of
from talker_cli.errors import OutputError
from talker_cli.export.attribution import credits_of
from talker_cli.export.materials import Material, linear_colors, material_faces, moved_normals
from talker_cli.export.motion_clip import MotionClip
from talker_cli.formats.files import atomic_path
from talker_cli.rig import Rig, head_matrices

ONE = "( (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1) )"
JOINTS = '"neck", "neck/head"'

LAYER = "speech"  # of a package
PACKAGED_SOUNDS = (".wav", ".mp3", ".m4a")
ALIGNMENT = 64  # bytes: USD maps a package's files into memory
ZIP_HEADER, EXTRA_HEADER = 30, 4  # bytes before a file's name, and before an extra field's content
PADDING_ID = 0x1986  # of an extra field that holds nothing, as OpenUSD writes it


def write_usda(clip: MotionClip, path: Path) -> None:
    """Write a motion as a UsdSkel root that any USD program opens and plays.

    Raises:
        OutputError: the place cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="replace", newline="\n") as stream,
    ):  # USD is UTF-8, file names need not be
        sound = None if clip.audio is None else os.path.relpath(clip.audio.resolve(), path.parent.resolve())
        stream.writelines(f"{line}\n" for line in _lines(clip, sound))


def write_usdz(clip: MotionClip, path: Path) -> None:
    """Write the same in one package with the sound in it: a zip whose files are stored as they are, each at a multiple of 64.

    A sound that USD has no place for (it knows WAV, MP3 and M4A) is left out.

    Raises:
        OutputError: the place cannot be written.
    """
    kind = "" if clip.audio is None else clip.audio.suffix.lower()
    sound = f"sound{kind}" if kind in PACKAGED_SOUNDS else None
    layer = "".join(f"{line}\n" for line in _lines(clip, sound)).encode(errors="replace")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as package:
        _stored(package, f"{LAYER}.usda", layer)
        if sound is not None and clip.audio is not None:
            _stored(package, sound, clip.audio.read_bytes())


def _stored(package: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a file whose bytes begin at a multiple of 64, behind a padding in its header's extra field."""
    assert package.fp is not None
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    padding = -(package.fp.tell() + ZIP_HEADER + len(name) + EXTRA_HEADER) % ALIGNMENT
    entry.extra = struct.pack("<HH", PADDING_ID, padding) + bytes(padding)
    package.writestr(entry, data)


def identifiers(names: Iterable[str]) -> list[str]:
    """Return names that USD allows for prims, all different: letters, digits and underscores, no digit in front."""
    found: dict[str, None] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"
        count = 1
        free = plain
        while free in found:
            count += 1
            free = f"{plain}_{count}"
        found[free] = None
    return list(found)


def _lines(clip: MotionClip, sound: str | None) -> Iterator[str]:
    rig, fps = clip.rig, clip.fps
    names = identifiers(rig.face_names)
    yield "#usda 1.0\n("
    yield f'    defaultPrim = "Face"\n    doc = {_quoted(credits_of(rig))}'
    yield "    customLayerData = {"
    for key, value in clip.origin().items():
        kind = "string" if isinstance(value, str) else "int64" if isinstance(value, int) else "double"
        shown = _quoted(value) if isinstance(value, str) else str(value) if isinstance(value, int) else f"{value:.10g}"
        yield f"        {kind} {key} = {shown}"
    yield "    }"
    yield f"    startTimeCode = 0\n    endTimeCode = {len(clip.coefficients) - 1}"
    yield f"    timeCodesPerSecond = {fps:.10g}\n    framesPerSecond = {fps:.10g}"
    yield '    metersPerUnit = 1\n    upAxis = "Y"\n)\n'
    yield 'def SkelRoot "Face" (\n    prepend apiSchemas = ["SkelBindingAPI"]\n)\n{'
    joints, places = ('"head"', ONE) if rig.neck is None else (JOINTS, f"{ONE}, {_shift(rig.neck.pivot)}")
    yield 'def Skeleton "Skeleton" (\n    prepend apiSchemas = ["SkelBindingAPI"]\n)\n{'
    yield f"    uniform token[] joints = [{joints}]\n    uniform matrix4d[] bindTransforms = [{places}]"
    yield f"    uniform matrix4d[] restTransforms = [{places}]\n    rel skel:animationSource = </Face/Speech>\n}}\n"
    yield 'def SkelAnimation "Speech"\n{'
    if rig.neck is not None and clip.rotation is not None:
        yield f"    uniform token[] joints = [{JOINTS}]\n    half3[] scales = [(1, 1, 1), (1, 1, 1)]"
        yield f"    float3[] translations = [(0, 0, 0), {_vectors(rig.neck.pivot[None], 7)}]"
        yield "    quatf[] rotations.timeSamples = {"
        for index, (x, y, z, w) in enumerate(quaternions_of(head_matrices(clip.rotation.astype(np.float64))).tolist()):
            yield f"        {index}: [(1, 0, 0, 0), ({w:.9g}, {x:.9g}, {y:.9g}, {z:.9g})],"
        yield "    }"
    yield f"    uniform token[] blendShapes = [{_tokens(names)}]\n    float[] blendShapeWeights.timeSamples = {{"
    for index, row in enumerate(clip.weights):
        yield f"        {index}: [{', '.join(f'{value:.9g}' for value in row.tolist())}],"
    yield "    }\n}\n"
    yield from _mesh(rig, names)
    yield from _materials([material for material, _ in material_faces(rig)])
    if sound is not None:
        yield f'def SpatialAudio "Sound"\n{{\n    uniform asset filePath = {_asset(sound)}'
        yield '    uniform token auralMode = "nonSpatial"\n    uniform token playbackMode = "onceFromStart"'
        yield "    uniform timecode startTime = 0\n}"
    yield "}"


def _mesh(rig: Rig, names: list[str]) -> Iterator[str]:
    """Yield the head at rest, its blend shapes, and which faces are of which material."""
    rest, shapes = moved_normals(rig)
    low, high = rig.template.min(axis=0), rig.template.max(axis=0)
    yield 'def Mesh "Head" (\n    prepend apiSchemas = ["SkelBindingAPI", "MaterialBindingAPI"]\n)\n{'
    yield '    uniform token subdivisionScheme = "none"\n    uniform token orientation = "rightHanded"'
    yield f"    float3[] extent = [{_vectors(np.stack([low, high]), 6)}]"
    yield f"    int[] faceVertexCounts = [{_numbers([3] * len(rig.faces))}]"
    yield f"    int[] faceVertexIndices = [{_numbers(rig.faces.reshape(-1).tolist())}]"
    yield f"    point3f[] points = [{_vectors(rig.template, 7)}]"
    yield f'    normal3f[] normals = [{_vectors(rest, 4)}] (\n        interpolation = "vertex"\n    )'
    colors = linear_colors(rig)
    yield f'    color3f[] primvars:displayColor = [{_vectors(colors, 4)}] (\n        interpolation = "vertex"\n    )'
    yield f"    uniform token[] skel:blendShapes = [{_tokens(names)}]"
    yield f"    rel skel:blendShapeTargets = [{', '.join(f'</Face/Head/{name}>' for name in names)}]"
    yield "    rel skel:skeleton = </Face/Skeleton>"
    yield f"    matrix4d primvars:skel:geomBindTransform = {ONE}"
    influences, size, kept = ("0", "1"), 1, "constant"
    if rig.neck is not None:
        shares = np.stack([rig.neck.weights, 1 - rig.neck.weights], 1).reshape(-1).tolist()
        influences, size, kept = (
            (_numbers([1, 0] * len(rig.template)), ", ".join(f"{share:.7g}" for share in shares)),
            2,
            "vertex",
        )
    for kind, name, value in zip(("int", "float"), ("Indices", "Weights"), influences, strict=True):
        yield f"    {kind}[] primvars:skel:joint{name} = [{value}] ("
        yield f'        elementSize = {size}\n        interpolation = "{kept}"\n    )'
    yield '    uniform token subsetFamily:materialBind:familyType = "partition"\n'
    for material, faces in material_faces(rig):
        yield f'def GeomSubset "{material.name}" (\n    prepend apiSchemas = ["MaterialBindingAPI"]\n)\n{{'
        yield '    uniform token elementType = "face"\n    uniform token familyName = "materialBind"'
        yield f"    int[] indices = [{_numbers(faces.tolist())}]"
        yield f"    rel material:binding = </Face/Materials/{material.name}>\n}}\n"
    for name, (offsets, turns) in zip(names, shapes, strict=True):
        rows = np.flatnonzero((offsets != 0).any(axis=1) | (turns != 0).any(axis=1))
        yield f'def BlendShape "{name}"\n{{\n    uniform vector3f[] offsets = [{_vectors(offsets[rows], 7)}]'
        yield f"    uniform vector3f[] normalOffsets = [{_vectors(turns[rows], 3)}]"
        yield f"    uniform int[] pointIndices = [{_numbers(rows.tolist())}]\n}}\n"
    yield "}\n"


def _materials(materials: Iterable[Material]) -> Iterator[str]:
    yield 'def Scope "Materials"\n{'
    for material in materials:
        place = f"/Face/Materials/{material.name}"
        yield f'def Material "{material.name}"\n{{\n    token outputs:surface.connect = <{place}/Surface.outputs:surface>'
        yield '    def Shader "Surface"\n    {\n        uniform token info:id = "UsdPreviewSurface"'
        yield f"        color3f inputs:diffuseColor.connect = <{place}/Color.outputs:result>"
        yield f"        float inputs:roughness = {material.roughness}\n        float inputs:metallic = 0"
        yield '        token outputs:surface\n    }\n    def Shader "Color"\n    {'
        yield '        uniform token info:id = "UsdPrimvarReader_float3"\n        string inputs:varname = "displayColor"'
        yield "        float3 outputs:result\n    }\n}"
    yield "}\n"


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\\"]', r"\\\g<0>", text)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'


def _asset(place: str) -> str:
    """Return a path between USD's longest quotes, which it may hold behind a backslash, but no line break.

    Raises:
        OutputError: there is one.
    """
    if re.search(r"[\r\n]", place):
        raise OutputError(f"cannot write the path {place!r} into a .usda: it has a line break; rename the recording")
    return "@@@" + place.replace("@@@", r"\@@@") + "@@@"


def _tokens(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))


def _shift(place: np.ndarray) -> str:
    """Return the matrix that moves by (3,), as USD writes it: a row for each axis and one for the place."""
    x, y, z = place.tolist()
    return f"( (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), ({x:.9g}, {y:.9g}, {z:.9g}, 1) )"


def _vectors(rows: np.ndarray, digits: int) -> str:
    """Return (N, 3) vectors with some digits behind the point; nothing is written that rounds to nothing."""
    scale = 10**digits
    whole = np.round(rows.astype(np.float64) * scale).astype(np.int64) / scale + 0.0  # no negative zeros
    return ", ".join(f"({x:g}, {y:g}, {z:g})" if digits <= 5 else f"({x:.9g}, {y:.9g}, {z:.9g})" for x, y, z in whole.tolist())
