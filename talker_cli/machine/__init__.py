"""The machine: what it can do, how fast, and how much memory a process took."""
