"""Blender add-on: talker speaks with the chosen character. Curves become an action of its shape keys, the sound a strip.

Install: Edit > Preferences > Add-ons > Install from Disk, or drag this file into Blender's window. The sidebar (N) of
the 3D view then has a tab "talker". talker itself is installed apart (pip install talker-cli) and run as a program. What the
names of shape keys mean, and whether they are visemes, it knows: it gets them in a small .glb, and gives back their animation.
"""

import json
import shlex
import struct
import subprocess
import tempfile
from pathlib import Path

import bpy

bl_info = {
    "name": "talker",
    "author": "The talker authors",
    "version": (1, 0, 0),
    "blender": (3, 6, 0),
    "location": "3D View > Sidebar > talker",
    "description": "Speech in, a talking face out: shape key actions from a recording",
    "category": "Animation",
}
CORNERS = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
MOVED, STILL = struct.pack("<9f", *[0.1] * 9), bytes(36)
LINEAR = 1  # Blender's number of the interpolation


def names_glb(meshes):
    """Return a .glb of triangles whose morph targets have the names of shape keys.

    Args:
        meshes: For each object a list of pairs: the key's name, and whether it moves anything.
    """
    views, accessors, entries, data = [], [], [], b""

    def accessor(content, high):
        nonlocal data
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(content)})
        bounds = {"min": [0 if high else 0.0] * 3, "max": [high] * 3}
        accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": 3, "type": "VEC3", **bounds})
        data += content
        return len(accessors) - 1

    corners, moved, still = accessor(CORNERS, 1), accessor(MOVED, 0.1), accessor(STILL, 0)
    for keys in meshes:
        targets = [{"POSITION": moved if moves else still} for _, moves in keys]
        primitive = {"attributes": {"POSITION": corners}, "targets": targets}
        entries.append({"primitives": [primitive], "extras": {"targetNames": [name for name, _ in keys]}})
    tree = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(len(meshes)))}],
        "nodes": [{"mesh": number} for number in range(len(meshes))], "meshes": entries,
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": len(data)}],
    }  # fmt: skip
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def weights_of(path):
    """Return the times of the last animation in a .glb, seconds, and for each node that it moves its weights, row by row."""
    data = Path(path).read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    tree, binary = json.loads(data[20 : 20 + size]), data[28 + size :]

    def floats(number):
        entry = tree["accessors"][number]
        return struct.unpack_from(f"<{entry['count']}f", binary, tree["bufferViews"][entry["bufferView"]]["byteOffset"])

    animation, found = tree["animations"][-1], {}
    times = floats(animation["samplers"][0]["input"])
    for channel in animation["channels"]:
        values = floats(animation["samplers"][channel["sampler"]]["output"])
        width = len(values) // len(times)
        found[channel["target"]["node"]] = [values[row * width : (row + 1) * width] for row in range(len(times))]
    return times, found


def speaking_objects(context):
    """Return the meshes with shape keys among the selected objects and what hangs on them."""
    chosen = [*context.selected_objects, *(each for one in context.selected_objects for each in one.children_recursive)]
    return [each for each in dict.fromkeys(chosen) if each.type == "MESH" and each.data.shape_keys]


def moves(key):
    """Say whether a shape key differs from the one that it is relative to."""
    here, there = ([0.0] * 3 * len(key.data) for _ in range(2))
    key.data.foreach_get("co", here)
    key.relative_key.data.foreach_get("co", there)
    return any(abs(one - other) > 1e-7 for one, other in zip(here, there, strict=True))


def new_curves(keys, name):
    """Give shape keys a new action; return its curves."""
    data = keys.animation_data or keys.animation_data_create()
    data.action = action = bpy.data.actions.new(name)
    if not hasattr(action, "slots"):  # before Blender 4.4
        return action.fcurves
    data.action_slot = slot = action.slots.new(id_type="KEY", name=keys.name)
    return action.layers.new("talker").strips.new(type="KEYFRAME").channelbag(slot, ensure=True).fcurves


def put_action(owner, names, times, rows, name, rate, start):
    """Write the weights of an object's shape keys, linear between frames, as an action."""
    curves = new_curves(owner.data.shape_keys, name)
    frames = [start + rate * seconds for seconds in times]
    for column, key in enumerate(names):
        values = [row[column] for row in rows]
        if max(values) == min(values) == owner.data.shape_keys.key_blocks[key].value:
            continue
        curve = curves.new(f'key_blocks["{bpy.utils.escape_identifier(key)}"].value')
        curve.keyframe_points.add(len(frames))
        curve.keyframe_points.foreach_set("co", [number for pair in zip(frames, values, strict=True) for number in pair])
        curve.keyframe_points.foreach_set("interpolation", [LINEAR] * len(frames))
        curve.update()


def put_sound(scene, path, start):
    """Lay the sound into the sequencer, on a free channel."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    channel = max((strip.channel for strip in strips), default=0) + 1
    strip = strips.new_sound(Path(path).stem, str(path), channel, start)
    scene.frame_end = max(scene.frame_end, int(strip.frame_final_end))
    scene.sync_mode = "AUDIO_SYNC"


class TALKER_OT_speak(bpy.types.Operator):
    """Animate the shape keys of the selected objects from the recording"""

    bl_idname = "talker.speak"
    bl_label = "Speak"
    bl_options = frozenset({"REGISTER", "UNDO"})

    @classmethod
    def poll(cls, context):
        """Say whether anything chosen has shape keys."""
        return bool(speaking_objects(context))

    def execute(self, context):
        """Run talker, and put what it says into the scene."""
        settings = context.scene.talker
        sound = Path(bpy.path.abspath(settings.sound))
        owners = speaking_objects(context)
        keys = [[(key.name, moves(key)) for key in owner.data.shape_keys.key_blocks[1:]] for owner in owners]
        with tempfile.TemporaryDirectory() as folder:
            names, spoken = Path(folder, "names.glb"), Path(folder, "spoken.glb")
            names.write_bytes(names_glb(keys))
            command = [*shlex.split(settings.command), "animate", str(sound), "--avatar", str(names), "-o", str(spoken)]
            if settings.identity:
                command += ["--identity", settings.identity]
            try:
                ran = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError as error:
                self.report(
                    {"ERROR"}, f"cannot run {settings.command} ({error.strerror}); pip install talker-cli, or give its path"
                )
                return {"CANCELLED"}
            said = [line.removeprefix("talker: ") for line in ran.stderr.splitlines()]
            if ran.returncode != 0:
                self.report({"ERROR"}, said[-1] if said else f"{settings.command} ended with {ran.returncode}")
                return {"CANCELLED"}
            for line in said:
                self.report({"INFO"}, line.replace(str(names), "the selection"))
            times, weights = weights_of(spoken)
        scene = context.scene
        rate, start = scene.render.fps / scene.render.fps_base, scene.frame_current
        for node, rows in weights.items():
            put_action(
                owners[node], [name for name, _ in keys[node]], times, rows, f"{sound.stem} {owners[node].name}", rate, start
            )
        put_sound(scene, sound, start)
        return {"FINISHED"}


class TALKER_PT_panel(bpy.types.Panel):
    """The add-on's tab"""

    bl_label = "talker"
    bl_category = "talker"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context):
        """Draw the settings and the button."""
        settings = context.scene.talker
        for field in ("sound", "identity", "command"):
            self.layout.prop(settings, field)
        self.layout.operator(TALKER_OT_speak.bl_idname, icon="PLAY_SOUND")


class TalkerSettings(bpy.types.PropertyGroup):
    """What the tab asks for"""

    sound: bpy.props.StringProperty(name="Recording", subtype="FILE_PATH")
    identity: bpy.props.StringProperty(
        name="Identity", description="Who speaks: talker identities lists them; empty for the default"
    )
    command: bpy.props.StringProperty(name="Program", default="talker", description="The talker program, or its whole path")


CLASSES = (TalkerSettings, TALKER_OT_speak, TALKER_PT_panel)


def register():
    """Add the operator, the tab and its settings."""
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.talker = bpy.props.PointerProperty(type=TalkerSettings)


def unregister():
    """Take them away."""
    del bpy.types.Scene.talker
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
