"""Faces to measure predictions on: a template for each subject (V, 3), lips and upper face (V,) bool, lip pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talker_cli.data.regions import parse_region_option, read_lip_pairs, read_regions
from talker_cli.data.unpickle import load_pickle
from talker_cli.errors import InputError
from talker_cli.evaluate.protocols import subject_of
from talker_cli.evaluate.report import SurfaceErrors
from talker_cli.formats.files import ArrayFile
from talker_cli.formats.mesh import read_mesh
from talker_cli.identity.file import load_identity
from talker_cli.rig import load_rig


@dataclass(frozen=True)
class Faces:
    """The faces that sequences are measured on.

    Args:
        templates: Templates (V, 3) by subject; under the empty name, that of all other subjects.
        lips: (V,) bool.
        upper_face: (V,) bool.
        lip_pairs: (P, 2), or None if unknown.
    """

    templates: dict[str, np.ndarray]
    lips: np.ndarray
    upper_face: np.ndarray
    lip_pairs: np.ndarray | None

    def subject(self, sequence: str) -> str:
        """Return the subject of a sequence."""
        return subject_of(sequence, [name for name in self.templates if name])

    def surface(self, sequence: str) -> SurfaceErrors:
        """Return the parts of the face of a sequence's subject.

        Raises:
            InputError: there is no template for it.
        """
        template = self.templates.get(self.subject(sequence), self.templates.get(""))
        if template is None:
            known = ", ".join(sorted(self.templates))
            raise InputError(f"found the sequence {sequence} and templates of {known[:120]}; expected its subject's among them")
        return SurfaceErrors(template, self.lips, self.upper_face, self.lip_pairs)


def read_faces(template: Path, regions: str | None, lip_pairs: Path | None) -> Faces:
    """Read a template (a mesh, a templates.pkl of subject -> (V, 3), a rig or an identity file), regions and lip pairs.

    A rig has regions and lip pairs of its own; without pairs there is no mouth gap.

    Raises:
        InputError: a file is missing or damaged, the regions are not given, or do not fit the template.
    """
    templates, masks, pairs = _contents(template)
    count = len(next(iter(templates.values())))
    if regions is not None:
        masks = read_regions(parse_region_option(regions), count)
    if lip_pairs is not None:
        pairs = read_lip_pairs(lip_pairs, count)
    if not {"lips", "upper_face"} <= masks.keys():
        raise InputError(f"found no regions with {template}; expected FLAME_masks.pkl, or lve.txt,fdd.txt", field="regions")
    if empty := next((name for name in ("lips", "upper_face") if not masks[name].any()), None):
        raise InputError(
            f"the region {empty} has no vertices; expected some to measure on; give regions that have them", "regions"
        )
    return Faces(templates, masks["lips"], masks["upper_face"], pairs if pairs is not None and len(pairs) else None)


def read_template(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read one neutral face (V, 3) and its lip pairs (P, 2), None where the file has none.

    Raises:
        InputError: the file is missing or damaged, or holds faces of several subjects.
    """
    templates, _, pairs = _contents(path)
    if "" not in templates and len(templates) > 1:
        raise InputError(f"{path} holds {len(templates)} faces; expected one neutral face, as a mesh", field="template")
    return templates.get("", next(iter(templates.values()))), pairs if pairs is not None and len(pairs) else None


def _contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None]:
    """Return templates by subject, regions and lip pairs of a file; a plain mesh has a template alone."""
    if path.suffix == ".safetensors":
        return _of_rig(path)
    return (_templates(path) if path.suffix == ".pkl" else {"": read_mesh(path).vertices}), {}, None


def _of_rig(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None]:
    """Return the templates, regions and lip pairs of a rig file, or of an identity file with a face of its own."""
    header = ArrayFile(path, "rig file").metadata
    if isinstance(header, dict) and header.get("kind") == "identity":
        face = load_identity(path).face
        if face is None:
            raise InputError(f"{path} has no face of its own; expected a neutral face; use the model's rig", field="template")
        if face.rig is None:
            return {"": face.template}, {}, None
        return {"": face.template}, face.rig.regions, face.rig.lip_pairs
    content = load_rig(path)
    templates = {"": content.rig.template, **{name: person.template for name, person in content.identities.items()}}
    return templates, content.rig.regions, content.rig.lip_pairs


def _templates(path: Path) -> dict[str, np.ndarray]:
    content = load_pickle(path)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} holds {type(content).__name__}; expected a dictionary of subject -> (V, 3) vertices")
    templates = {}
    for name, value in content.items():
        array = np.asarray(value)
        if array.dtype.kind != "f" or array.size == 0 or array.size % 3 or not np.isfinite(array).all():
            raise InputError(f"{path} holds {array.dtype} {array.shape} for {name}; expected finite vertices (V, 3)")
        templates[str(name)] = array.reshape(-1, 3)
    sizes = sorted({len(array) for array in templates.values()})
    if len(sizes) > 1:
        raise InputError(f"{path} holds templates of {sizes[0]} and of {sizes[-1]} vertices; expected one topology")
    return templates
