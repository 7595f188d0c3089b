"""Hold voices of a prepared dataset out of training: a copy whose split `test_voice` has them too.

Usage: python benchmarks/hold_out.py PREPARED OUTPUT --voices NAME...

Speech, motion and cached features are hard links: the copy takes the room of its dataset.json.
"""

import argparse
import shutil
from pathlib import Path

from talker_cli.formats.files import read_json, write_json


def main() -> None:
    """Write the copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--voices", nargs="+", required=True)
    options = parser.parse_args()
    info = read_json(options.prepared / "dataset.json")
    unknown = set(options.voices) - {recording["voice"] for recording in info["recordings"]}
    if unknown:
        parser.error(f"no voice {', '.join(sorted(unknown))} in {options.prepared}")
    for recording in info["recordings"]:
        if recording["voice"] in options.voices:
            recording["split"] = "test_voice"
    shutil.copytree(
        options.prepared,
        options.output,
        copy_function=lambda source, target: Path(target).hardlink_to(source),
        ignore=shutil.ignore_patterns("dataset.json"),
    )
    write_json(options.output / "dataset.json", info)
    held = [recording["voice"] for recording in info["recordings"] if recording["split"] == "test_voice"]
    print(", ".join(f"{voice} {held.count(voice)}" for voice in sorted(set(held))))


if __name__ == "__main__":
    main()
