"""Phones of the corpus: where each sound of a text lies in its recording."""
