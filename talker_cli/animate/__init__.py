"""Speech to motion: one recording, many, or a live stream."""
