"""Run the command line: `python -m talker_cli`, and `torchrun -m talker_cli train` on many GPUs."""

import sys

from talker_cli.cli.process import begin, end


def main() -> int:
    """Run the command line; return its exit code. Ctrl-C ends it in one line from here on, imports included."""
    begin()
    from talker_cli.cli.app import run

    return end(run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
