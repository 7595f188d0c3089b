"""A few hundred mutated files for every reader; `benchmarks/fuzz.py` tries as many as one likes."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from fuzz import Outcome, fuzz, make_seeds, targets


@pytest.mark.slow
def test_every_reader_reads_rightly_or_refuses_in_one_line(tmp_path: Path) -> None:
    """Breaks if a damaged file ends in a traceback, a hang, gigabytes of memory, or an output that is damaged itself."""
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    make_seeds(seeds)
    outcomes: list[Outcome] = []
    jobs = [(name, seed) for name, target in targets().items() for seed in range(max(1, round(4 * target.weight)))]
    fuzz(jobs, seeds, outcomes.append, workers=1)
    assert len(outcomes) == len(jobs)
    assert [each for each in outcomes if each.what not in ("accepted", "refused")] == []
    assert {each.what for each in outcomes} == {"accepted", "refused"}
