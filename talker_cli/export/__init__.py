"""Motions in other programs' formats. No module here imports torch."""
