"""Alignment of the corpus: the times of each phone of a text in its recording."""
