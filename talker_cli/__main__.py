"""Run the command line: `python -m talker_cli`, and `torchrun -m talker_cli train` on many GPUs."""

from talker_cli.cli.app import main

if __name__ == "__main__":
    main()
