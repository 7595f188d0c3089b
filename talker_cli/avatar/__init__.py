"""Characters of users: the names of their shapes and bones, and files that drive them. No module here imports torch."""
