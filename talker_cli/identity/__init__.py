"""Identities: names, files and mixes of them, and styles encoded from speech."""
