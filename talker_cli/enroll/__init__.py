"""Recordings of one voice -> an identity: usable clips, the motion beside them, a face, a style fitted to motion."""
