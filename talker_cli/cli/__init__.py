"""The command line: options, progress and errors, a file for each command."""
