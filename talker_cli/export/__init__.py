"""Motions in other programs' formats. Nothing here imports torch."""
