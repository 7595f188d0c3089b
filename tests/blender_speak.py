"""Run inside Blender by test_blender: a character is made, the add-on speaks with it, and its curves are read off."""

import importlib.util
import json
import sys
from pathlib import Path

import bpy

addon, command, sound, result = sys.argv[-4:]
spec = importlib.util.spec_from_file_location("talker_blender", addon)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.register()
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps, scene.frame_current = 24, 11
owners = []
for name, keys in {"Head": ("Jaw_Open", 'eye"Blink.L', "smirk"), "Teeth": ("jawOpen",), "Still": ()}.items():
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    owner = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(owner)
    for key in ("Basis", *keys) if keys else ():
        owner.shape_key_add(name=key).data[0].co.x += key != "Basis"
    owners.append(owner)
owners[1].parent = owners[0]
bpy.context.view_layer.objects.active = owners[0]
owners[0].select_set(True)
scene.talker.sound, scene.talker.command = sound, command
found = {"poll": bpy.ops.talker.speak.poll()}
found["ran"] = list(bpy.ops.talker.speak())
times = [0.0, 0.21, 0.4, 0.55, 0.8]
found["values"] = []
for seconds in times:
    frame = 11 + 24 * seconds
    scene.frame_set(int(frame), subframe=frame - int(frame))
    found["values"].append([[key.value for key in owner.data.shape_keys.key_blocks[1:]] for owner in owners[:2]])
strips = scene.sequence_editor.strips if hasattr(scene.sequence_editor, "strips") else scene.sequence_editor.sequences
found["strips"] = [(strip.type, strip.name, strip.frame_start) for strip in strips]
found["end"], found["sync"] = scene.frame_end, scene.sync_mode
scene.talker.sound = "/no/such.wav"
try:
    bpy.ops.talker.speak()
except RuntimeError as error:
    found["mistake"] = str(error)
module.unregister()
Path(result).write_text(json.dumps({**found, "times": times}))
