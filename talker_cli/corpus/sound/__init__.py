"""Sounds that are not the corpus' speech itself: non-speech, and speech changed in the sound."""
