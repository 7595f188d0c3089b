"""Evaluation: a model on a prepared dataset (model.py), any system's motions against the truth (compare.py)."""
