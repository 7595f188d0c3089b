"""A run's folder: `run.toml` (what was asked), `state.safetensors` (everything needed to go on), `curve.csv`, `curve.png`."""

import copy
import csv
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from talker_cli.errors import InputError
from talker_cli.formats import plot
from talker_cli.formats.files import ArrayFile, atomic_path, sweep, write_arrays, write_bytes
from talker_cli.train.curve import draw_curve
from talker_cli.train.settings import format_toml, read_settings


@dataclass(frozen=True)
class Progress:
    """What a training reports after a step: steps done, steps in all, and the smoothed losses by name."""

    step: int
    steps: int
    losses: dict[str, float]
    stage: str = ""


OnProgress = Callable[[Progress], None]


class RunFolder:
    """A folder that a run writes to and resumes from.

    Args:
        folder: is made, if its parent exists.
        settings: plain values and tables of them, that a resumed run must have again; written as `run.toml`.
        contents: hashes of what the settings name only by its place, such as the dataset; a resumed run must find the same.

    Raises:
        InputError: it holds a run that was started with other settings, or from other contents.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], contents: dict[str, str]) -> None:
        self.folder, self.contents = folder, contents
        folder.mkdir(parents=True, exist_ok=True)
        self.state_path = folder / "state.safetensors"
        path = folder / "run.toml"
        text = format_toml(settings)
        # Until there is a state there is nothing to go on from: what was refused, or killed at once, may be asked otherwise.
        if self.state_path.is_file() and path.is_file():
            found, asked = _flat(read_settings(path)), _flat(tomllib.loads(text))
            if found != asked:
                differing = sorted(key for key in found.keys() | asked.keys() if found.get(key) != asked.get(key))
                raise InputError(
                    f"{folder} holds a run with other settings ({', '.join(differing)} differ); "
                    "give the same settings to resume it, or another -o"
                )
            known = ArrayFile(self.state_path, "training state").metadata.get("contents", {})
            if changed := sorted(name for name in known if known[name] != contents.get(name)):
                raise InputError(
                    f"{folder} holds a run that began with another {' and another '.join(changed)} than there is now; put it "
                    "back to resume the run, delete the run's folder, or give another -o"
                )
        else:
            write_bytes(path, text.encode())
        sweep(folder)  # half a state, of a run that was killed while it wrote one

    def save(
        self, step: int, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, extra: dict[str, Any]
    ) -> None:
        """Write everything a resumed run needs, atomically."""
        arrays: dict[str, np.ndarray] = {}
        for name, module in modules.items():
            arrays |= {f"{name}/{key}": value.detach().cpu().numpy() for key, value in module.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{index}/{key}": value.detach().cpu().numpy() for key, value in state.items()}
        write_arrays(self.state_path, arrays, {"kind": "run", "step": step, "contents": self.contents, **extra})

    def load(self, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer | None) -> dict[str, Any] | None:
        """Restore modules and optimizer; return the metadata, or None if nothing was saved yet."""
        if not self.state_path.is_file():
            return None
        file = ArrayFile(self.state_path, "training state")
        for name, module in modules.items():
            keys = [key for key in file.names if key.startswith(f"{name}/")]
            module.load_state_dict({key[len(name) + 1 :]: torch.from_numpy(file.array(key)) for key in keys})
        if optimizer is not None:
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key in file.names:
                if key.startswith("optimizer/"):
                    _, index, field = key.split("/")
                    state.setdefault(int(index), {})[field] = torch.from_numpy(file.array(key))
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return dict(file.metadata)

    def log(self, row: dict[str, Any]) -> None:
        """Append a row to the curve and draw it; rows of steps that a resumed run repeats are dropped."""
        path = self.folder / "curve.csv"
        rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(newline="") as stream:
                rows = [old for old in csv.DictReader(stream) if old["stage"] != row["stage"] or int(old["step"]) < row["step"]]
        rows.append(row)
        with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(name for each in rows for name in each)))
            writer.writeheader()
            writer.writerows(rows)
        if plot.available():
            draw_curve(rows, path.with_suffix(".png"))


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    """Return table.field -> value, and the plain values by their names."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= {f"{name}.{each}": inner for each, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def check_finite(place: str, losses: Mapping[str, float], gradient: float, state: Path) -> None:
    """Stop a training that diverged, before its optimiser moves the weights.

    Args:
        place: The step, for the message: "step 3 of 100".
        losses: Losses of the step by name.
        gradient: Norm of its gradients.
        state: The last saved state, which the message names.

    Raises:
        InputError: a loss or the gradient's norm is NaN or infinite.
    """
    found = [name for name, loss in losses.items() if not math.isfinite(loss)]
    if found or not math.isfinite(gradient):
        what = f"the loss '{found[0]}' is {losses[found[0]]}" if found else f"the norm of the gradients is {gradient}"
        kept = f"; the last finite state is {state}" if state.is_file() else ""
        raise InputError(
            f"training diverged at {place}: {what}; expected finite numbers; use a lower learning rate or loss weights, or "
            f"check the dataset{kept}"
        )


ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Average(Generic[ModuleT]):
    """Exponential moving average of a module's parameters and buffers, warmed up so that early weights are soon forgotten."""

    def __init__(self, module: ModuleT, decay: float) -> None:
        self.module: ModuleT = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards `module` after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.module.state_dict().values(), module.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs.to(mine), 1 - decay)
            else:
                mine.copy_(theirs)
