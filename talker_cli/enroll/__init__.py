"""From a folder of recordings to a style: its clips, the motion beside them, the face, the fit."""
