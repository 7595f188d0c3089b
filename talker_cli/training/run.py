"""A run's folder: `run.json` (what was asked), `state.safetensors` (everything needed to go on), `curve.csv` (losses)."""

import copy
import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from talker_cli.errors import InputError
from talker_cli.files import ArrayFile, read_json, write_arrays, write_json


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

    Raises:
        InputError: it holds a run that was started with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "run.json"
        settings = json.loads(json.dumps(settings))
        if path.is_file():
            found = read_json(path)
            if found != settings:
                differing = sorted(key for key in found.keys() | settings.keys() if found.get(key) != settings.get(key))
                raise InputError(
                    f"{folder} holds a run with other settings ({', '.join(differing)} differ); "
                    "give the same settings to resume it, or another -o"
                )
        else:
            write_json(path, settings)
        self.state_path = folder / "state.safetensors"

    def save(
        self, step: int, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, extra: dict[str, Any]
    ) -> None:
        """Write everything a resumed run needs, atomically."""
        arrays: dict[str, np.ndarray] = {}
        for name, module in modules.items():
            arrays |= {f"{name}/{key}": value.detach().cpu().numpy() for key, value in module.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{index}/{key}": value.detach().cpu().numpy() for key, value in state.items()}
        write_arrays(self.state_path, arrays, {"kind": "run", "step": step, **extra})

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
        """Append a row to the curve; a header comes first, and rows of steps that a resumed run repeats are dropped."""
        path = self.folder / "curve.csv"
        rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(newline="") as stream:
                rows = [old for old in csv.DictReader(stream) if old["stage"] != row["stage"] or int(old["step"]) < row["step"]]
        fields = list(dict.fromkeys([*(rows[0].keys() if rows else ()), *row.keys()]))
        temporary = path.with_suffix(".csv.part")
        with temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fields)
            writer.writeheader()
            writer.writerows([*rows, row])
        temporary.replace(path)


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
