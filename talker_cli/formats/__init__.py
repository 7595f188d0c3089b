"""Files in and out: sound, meshes, rigs, motions, glTF, charts; atomic writing."""
