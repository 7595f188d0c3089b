"""A prepared corpus of synthetic voices that no training has: more voices to enroll than those held out of the corpus.

    python benchmarks/new_voices.py new/ --kokoro data/kokoro
    python benchmarks/enroll_voices.py new/ talker-base

Variants of espeak-ng, and voices halfway between two of Kokoro's that the corpus does not pair, read sentences of which none is
a training text. Their styles are by the corpus's rules: in part what the sound tells, in part chance.
"""

import argparse
import zlib
from pathlib import Path

from talker_cli.cli.data import shipped_rig
from talker_cli.corpus.build import Corpus, Settings, build
from talker_cli.corpus.prepare import FPS
from talker_cli.corpus.speech.kokoro import ENGLISH, HELD_OUT_LETTER, KokoroShard
from talker_cli.corpus.speech.recordings import Shard
from talker_cli.corpus.speech.selection import text_split
from talker_cli.corpus.speech.sentences import SENTENCES
from talker_cli.corpus.speech.synthesis import VoiceShard
from talker_cli.corpus.speech.voices import SYNTHETIC_VOICES, SyntheticVoice

ESPEAK = "Gene Jacky Lee Marco aunty benjamin edward john paul quincy shelby travis".split()  # none in SYNTHETIC_VOICES
PAIRS, APART = 12, 13  # pairs of Kokoro's voices, so far apart in the list; the corpus pairs voices half the list apart


def main() -> None:
    """Synthesise, move and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kokoro", type=Path, required=True, help="folder that tools/fetch_kokoro.sh makes")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each voice")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = sorted(path.stem for path in (options.kokoro / "voices").glob("*.bin") if path.stem[0] != HELD_OUT_LETTER)
    pairs = [(names[index], names[(index + APART) % len(names)]) for index in range(0, len(names), len(names) // PAIRS)][:PAIRS]
    heard = {each.voice.split("+")[-1].lower() for each in SYNTHETIC_VOICES if each.program == "espeak-ng"}
    assert not heard & {name.lower() for name in ESPEAK}, "a voice of the corpus"
    voices = [voice(f"espeak_{name.lower()}", "espeak-ng", f"en-us+{name}") for name in ESPEAK]
    voices += [voice(f"kokoro_{one}_{other}", "kokoro", f"{one}+{other}") for one, other in pairs]
    texts = [text for text in SENTENCES if text_split(text) != "train"]
    shards: list[Shard] = []
    for each in voices:
        order = tuple(sorted(texts, key=lambda text: zlib.crc32(f"{each.name}|{text}".encode())))
        if each.program == "kokoro":
            shards.append(KokoroShard(options.kokoro, each, ENGLISH[1], order, options.seconds))
        else:
            shards.append(VoiceShard(each, order, options.seconds))
    corpus = Corpus(
        shards, "Motion modelled from phones (not captured) over synthetic voices", "Apache-2.0", "check Kokoro's files"
    )
    held_out = frozenset(each.name for each in voices)
    notes = build(
        options.output, corpus, Settings(FPS, 0, held_out), shipped_rig(), options.processes, lambda stage, done, total: None
    )
    print(notes["minutes"], notes["dropped"])


def voice(name: str, program: str, of_program: str) -> SyntheticVoice:
    """Return an English voice with a pitch and a rate of its own."""
    key = zlib.crc32(name.encode())
    return SyntheticVoice(name, program, of_program, pitch=36 + key % 28, rate=145 + (key >> 8) % 45, level=0.5)


if __name__ == "__main__":
    main()
