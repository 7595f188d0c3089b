"""Files in and out: sound, meshes, rigs, motions, glTF, pictures of charts; atomic writing."""
