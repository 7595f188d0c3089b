"""Speech in, talking 3D face out."""

__version__ = "0.1.0"
