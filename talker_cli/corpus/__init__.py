"""The articulated corpus: motion for transcribed speech without capture, from phones by a coarticulation model."""

from talker_cli.corpus.prepare import LANGUAGES, SYNTHETIC_MINUTES, prepare, prepare_again, prepare_folder

__all__ = ["LANGUAGES", "SYNTHETIC_MINUTES", "prepare", "prepare_again", "prepare_folder"]
