"""Faces captured from video: landmarks of a person to coefficients of the built-in head, and the head's rotation."""
