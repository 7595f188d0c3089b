"""Directions of the lights in the camera's space: +x right, +y up, +z towards the camera."""

KEY_AT = (-0.486, 0.534, 0.692)  # a large warm light, above the photographer's left shoulder
