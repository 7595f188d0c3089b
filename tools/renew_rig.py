"""Build a model folder's rig again from this code's head, and write the new file's hash into its weights.

    python tools/renew_rig.py weights/talker-base

The weights' values stay: they are trained on coefficients, and the shapes keep their names and meaning. Their config holds the
hash of the rig file, which is rewritten. People who are no part of the head, as captured ones, keep their names and get
the neutral face. Run it after every change of the built-in head, and then `talker export-model`.
"""

import sys
from dataclasses import replace
from pathlib import Path

from talker_cli.formats.files import ArrayFile, file_hash, write_arrays
from talker_cli.head import build_head
from talker_cli.rig import load_rig, save_rig


def renew(folder: Path) -> None:
    """Write `rig.safetensors`, and its hash into every weights file of a folder."""
    rig = folder / "rig.safetensors"
    old, content = load_rig(rig), build_head()
    content = content.with_head() if old.rig.has_head else content
    others = {
        name: replace(person, template=content.rig.template, colors=content.rig.colors)
        for name, person in old.identities.items()
        if name not in content.identities
    }
    content = replace(content, identities={**content.identities, **others})
    paths = [path for path in sorted(folder.glob("*.safetensors")) if path.name != "rig.safetensors"]
    files = [(path, ArrayFile(path, "model")) for path in paths]
    for path, file in files:
        config = file.metadata["config"]
        if tuple(config["names"]) != content.rig.names or not content.identities.keys() <= set(config["identities"]):
            sys.exit(f"{path} is for other shapes or identities than the built-in head's; nothing was written")
    save_rig(rig, content)
    for path, file in files:
        metadata = {**file.metadata, "config": {**file.metadata["config"], "rig": file_hash(rig)}}
        write_arrays(path, {name: file.array(name) for name in file.names}, metadata)
    sys.stdout.write(f"{rig}: {file_hash(rig)}, named by {', '.join(path.name for path in paths) or 'no weights'}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/renew_rig.py FOLDER")
    renew(Path(sys.argv[1]))
