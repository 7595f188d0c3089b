"""What a voice tells of its style: measures against sounds of known formants, pitch and rate; styles; and how they are read."""

import json
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from tiny import tiny_dataset, tiny_rig

from talker_cli.corpus.articulate.styles import SPEAKERS, Style
from talker_cli.corpus.articulate.voice_styles import (
    IDENTITY_OF_VOICE,
    POPULATION,
    TOLD,
    VOICE_OF_IDENTITY,
    average_style,
    identity_of,
    style_of_voice,
    styles_of,
)
from talker_cli.corpus.speech.sources import PROMPT_VOICES
from talker_cli.corpus.speech.voices import HELD_OUT_VOICES, SYNTHETIC_VOICES
from talker_cli.data.dataset import Dataset
from talker_cli.formats.audio import SAMPLE_RATE
from talker_cli.formats.files import ArrayFile, file_hash, write_arrays
from talker_cli.identity.style import StyleReader
from talker_cli.identity.voice import MEASURES, VoiceSums
from talker_cli.model.checkpoint import load_model, save_model
from talker_cli.model.config import Architecture, ModelConfig
from talker_cli.model.folder import model_folder
from talker_cli.model.graph import export_student
from talker_cli.model.network import FaceDiffusion
from talker_cli.model.onnx_runner import OnnxRunner
from talker_cli.model.personalizer import Personalizer
from talker_cli.model.torch_runner import TorchRunner
from talker_cli.rig import save_rig
from talker_cli.train.batches import LISTENING, Batch, ClipBank, Part
from talker_cli.train.losses import Draw, LossWeights, Objective
from talker_cli.train.reading import LEAST_VOICES, settle_reading
from talker_cli.train.teacher import STRETCHES, TrainConfig, train
from talker_cli.train.voices import voice_sums

VOWELS = ((300.0, 2200.0), (700.0, 1200.0), (350.0, 900.0), (550.0, 1700.0))  # hertz, F1 and F2


def talk(
    spread: float = 1.0, tract: float = 1.0, rate: float = 4.0, swing: float = 0.0, tilt: float = 0.0, seconds: float = 12.0,
    pitch: float = 120.0,
) -> np.ndarray:  # fmt: skip
    """Return (S,) a buzz through two resonances: vowels in turn, one a syllable.

    Args:
        spread: Factor of the vowels' distance from their mean, in log hertz.
        tract: Factor of all formants.
        rate: Syllables a second.
        swing: Semitones that the pitch moves up and down.
        tilt: Share of the spectrum's upper half that is raised: y[n] - tilt y[n - 1].
    """
    count = int(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    hertz = pitch * 2 ** (swing / 12 * np.sin(2 * np.pi * 0.7 * time))
    phase = np.cumsum(hertz) / SAMPLE_RATE
    source = np.diff(np.floor(phase), prepend=0.0)
    middle = np.exp(np.log(VOWELS).mean(0))
    out = np.zeros(count)
    for number, vowel in enumerate(VOWELS):
        formants = tract * middle * (np.array(vowel) / middle) ** spread
        sound = source
        for frequency in (*formants, 3000.0 * tract):
            radius = np.exp(-np.pi * 80.0 / SAMPLE_RATE)
            a1, a2 = -2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE), radius**2
            sound = filtered(sound, a1, a2) * (1 + a1 + a2)
        out += sound * ((time * rate).astype(int) % len(VOWELS) == number)
    out *= np.sin(np.pi * (time * rate % 1.0)) ** 2 + 0.02
    out = np.append(out[:1], out[1:] - tilt * out[:-1])
    return (0.3 * out / np.abs(out).max()).astype(np.float32)


def filtered(sound: np.ndarray, a1: float, a2: float) -> np.ndarray:
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [1.0, a1, a2], sound))


def measured(**how: float) -> dict[str, float]:
    return dict(zip(MEASURES, VoiceSums.of(talk(**how)).measures(), strict=True))


def test_measures_tell_what_was_synthesised() -> None:
    """Breaks if a measure follows something else, or is off by more than its noise."""
    plain = measured()
    spread = np.log(np.array(VOWELS)).std(0)
    assert plain["f1_spread"] == pytest.approx(np.log(spread[0]), abs=0.25)
    assert plain["f2_spread"] == pytest.approx(np.log(spread[1]), abs=0.25)
    small = measured(spread=0.5)
    assert plain["f1_spread"] - small["f1_spread"] == pytest.approx(np.log(2), abs=0.2)
    assert plain["f2_spread"] - small["f2_spread"] == pytest.approx(np.log(2), abs=0.2)
    assert plain["rate"] == pytest.approx(np.log(4.0), abs=0.08) and measured(rate=6.0)["rate"] == pytest.approx(
        np.log(6), abs=0.08
    )
    assert measured(swing=3.0)["pitch_range"] == pytest.approx(np.log(3 / 2**0.5), abs=0.25)
    assert plain["pitch_range"] < np.log(0.5)
    assert measured(tilt=0.9)["effort"] > plain["effort"] + 6.0


def test_a_longer_tract_a_lower_level_and_a_higher_pitch_are_no_manner() -> None:
    """Breaks if size, distance to the microphone or pitch pass for articulation."""
    plain, small = measured(), measured(tract=1.15)
    for name in ("f1_spread", "f2_spread", "rate"):
        assert small[name] == pytest.approx(plain[name], abs=0.12), name
        assert measured(pitch=160.0)[name] == pytest.approx(plain[name], abs=0.15), name
    speech = talk()
    quiet, loud = (VoiceSums.of(speech * factor).measures() for factor in (0.05, 1.0))
    assert np.allclose(quiet, loud, atol=0.02)
    assert np.allclose(VoiceSums.of((speech * 32767).astype(np.int16)).measures(), loud, atol=0.02)


def test_sums_of_parts_are_those_of_the_whole() -> None:
    """Breaks if enrolment from many clips reads something else than from one."""
    one, other = talk(seconds=8.0), talk(spread=0.6, rate=5.0, seconds=8.0)
    total = VoiceSums.total([VoiceSums.of(one), VoiceSums.of(other)])
    whole = VoiceSums.of(np.concatenate([one, other]))
    assert np.abs(total.measures() - whole.measures()).max() < 0.1
    assert total.seconds == pytest.approx(16.0, abs=0.3) == whole.seconds
    assert total.reading()[-1] == pytest.approx(np.log(total.seconds))


def test_silence_noise_and_a_click_have_finite_measures() -> None:
    """Breaks if odd sound ends in NaN."""
    rng = np.random.default_rng(0)
    for sound in (np.zeros(16000), rng.normal(size=16000), np.eye(1, 300)[0], np.zeros(1), np.sin(np.arange(40000) * 0.3)):
        assert np.isfinite(VoiceSums.of(sound.astype(np.float32)).reading()).all()
    assert np.isfinite(VoiceSums.total([]).reading()).all()


def sums_at(deviations: dict[str, float], seconds: float = 60.0) -> VoiceSums:
    """Return sums whose measures lie so many deviations from the mean voice."""

    class Fixed(VoiceSums):
        def measures(self) -> np.ndarray:
            return np.array([mean + std * deviations.get(name, 0.0) for name, (mean, std) in POPULATION.items()])

    return Fixed(np.array([seconds * 100.0, *[0.0] * 13]))


def test_measures_stand_in_the_order_of_the_population() -> None:
    assert tuple(POPULATION) == MEASURES
    assert {name for weights, _ in TOLD.values() for name in weights} == set(MEASURES)
    assert set(TOLD) < {field.name for field in fields(Style)}


def test_the_population_is_that_of_the_voices_that_training_hears() -> None:
    """Breaks if most voices of the corpus lie to one side of its mean voice, where their styles are cut to one extreme."""
    voice = load_model(model_folder("talker-base") / "teacher.safetensors", "teacher").personalizer.voice
    assert voice is not None
    mean, std = np.array(list(POPULATION.values())).T
    assert (np.abs(voice.mean.numpy() - mean) < 0.3 * std).all()
    assert (np.abs(np.log(voice.std.numpy() / std)) < 0.5).all()


def test_sound_tells_its_share_of_a_style_and_chance_the_rest() -> None:
    """Breaks if a parameter's variance over voices is not as told: the share of the sound, and the characters' in all."""
    rng = np.random.default_rng(0)
    voices = [sums_at(dict(zip(MEASURES, rng.normal(size=len(MEASURES)), strict=True))) for _ in range(600)]
    both = [asdict(style_of_voice(sums, f"v{number}")) for number, sums in enumerate(voices)]
    told = [asdict(style_of_voice(sums, f"v{number}", chance=0.0)) for number, sums in enumerate(voices)]
    for name in ("effort", "jaw", "lips", "rounding", "spread", "width", "brows"):
        share = TOLD[name][1]
        of_sound, of_all = (np.log([style[name] for style in styles]).std() for styles in (told, both))
        character = np.log([getattr(speaker.style, name) for speaker in SPEAKERS]).std()
        assert of_all == pytest.approx(character, rel=0.16), name  # extremes are cut
        assert of_sound / of_all == pytest.approx(share**0.5, rel=0.12), name
    for name in set(asdict(Style())) - set(TOLD):
        assert len({style[name] for style in told}) == 1, f"sound tells of {name}"
    assert style_of_voice(voices[0], "a") != style_of_voice(voices[0], "b") == style_of_voice(voices[0], "b")
    assert style_of_voice(sums_at({"rate": 2.0}, seconds=3.0), "x", chance=0.0) == average_style(), "3 s told something"


def test_manner_goes_where_phonetics_says() -> None:
    """Breaks if wide vowels make a small mouth, a loud voice closes the jaw, or fast speech is crisp."""
    at = lambda **deviations: style_of_voice(sums_at(deviations), "x", chance=0.0)  # noqa: E731
    assert at(f1_spread=1).jaw > at(f1_spread=-1).jaw and at(f2_spread=1).rounding > at(f2_spread=-1).rounding
    assert at(effort=1).effort > at(effort=-1).effort and at(effort=1).jaw > at(effort=-1).jaw
    assert at(rate=1).width > at(rate=-1).width and at(pitch_range=1).brows > at(pitch_range=-1).brows


def test_characters_keep_their_styles_and_every_other_voice_has_its_own() -> None:
    """Breaks if a character changes, two voices share a style, or a style leaves the range of the characters by much."""
    known = {voice.name for voice in SYNTHETIC_VOICES} | {source.voice for source in PROMPT_VOICES} | {"fillets_cs_small"}
    assert set(VOICE_OF_IDENTITY) == {speaker.name for speaker in SPEAKERS} and set(IDENTITY_OF_VOICE) <= known
    assert not HELD_OUT_VOICES & set(IDENTITY_OF_VOICE) and len(HELD_OUT_VOICES) == 10
    styles = styles_of({voice: VoiceSums.total([]) for voice in known})
    assert len(styles) == len(known) and len({repr(style) for style in styles.values()}) == len(styles)
    assert all(styles[speaker.name] == speaker.style for speaker in SPEAKERS)
    assert identity_of("carlo_it") == "carlo_it" and identity_of(VOICE_OF_IDENTITY[SPEAKERS[0].name]) == SPEAKERS[0].name
    for name, value in ((name, value) for style in styles.values() for name, value in asdict(style).items()):
        values = [getattr(speaker.style, name) for speaker in SPEAKERS]
        room = 0.1 * (max(values) - min(values)) + 1e-9
        assert min(values) - room <= value <= max(values) + room, name


def reading_config(identities: int = 40) -> ModelConfig:
    names = tuple(f"v{number}" for number in range(identities))
    return ModelConfig("teacher", "", ("jawOpen",), names, style_width=4, voice_measures=MEASURES)


def test_a_reading_learns_the_mean_and_the_spread_of_a_known_relation() -> None:
    """Breaks if the likelihood is wrong: of rows of which sound tells 70 %, that must come out, and the mean with it."""
    torch.manual_seed(0)
    personalizer = Personalizer(reading_config(400)).eval()
    measures = torch.randn(400, len(MEASURES) + 1)
    measures[:, -1] = np.log(10.0)
    told = measures[:, :1].clamp(-3, 3) * torch.tensor([0.8, -0.8, 0.0, 0.0]) + 0.6 * torch.randn(400, 4)
    with torch.no_grad():
        personalizer.table.copy_(1.0 + 0.02 * told)
    optimizer = torch.optim.Adam([*personalizer.voice.parameters()], lr=0.02)  # type: ignore[union-attr]
    for _ in range(600):
        optimizer.zero_grad()
        personalizer.reading_loss(measures, torch.arange(400)).mean().backward()
        optimizer.step()
    deviation, share = personalizer.voice(measures)  # type: ignore[misc]
    # Rows lie on the sphere: of the noise, the part along the radius, a quarter, is gone.
    expected = 0.64 / (0.64 + 0.75 * 0.36)
    found = share.detach().mean(0).numpy()
    assert found[:2] == pytest.approx([expected, expected], abs=0.06) and (found[2:] < 0.2).all()
    rows = personalizer.named(torch.arange(400)).detach() - personalizer.named(torch.arange(400)).detach().mean(0)
    kept = 1 - ((share * deviation - rows).detach()[:, 0].var() / rows[:, 0].var())
    assert float(kept) == pytest.approx(expected, abs=0.06)
    assert personalizer.table.grad is None, "the reading moved the table"


def test_a_style_shrinks_to_the_average_as_doubt_grows() -> None:
    """Breaks if little speech, or odd sound, is believed as much as a minute of it."""
    personalizer = Personalizer(reading_config()).eval()
    voice = personalizer.voice
    assert voice is not None
    with torch.no_grad():
        voice.log_spread.weight.fill_(1.0)
        voice.direction.weight.normal_()
    ordinary, odd = torch.zeros(1, len(MEASURES) + 1), torch.zeros(1, len(MEASURES) + 1)
    ordinary[0, 0], odd[0, 0] = 2.0, 9.0
    shares = []
    for sound, seconds in ((ordinary, 120.0), (ordinary, 10.0), (ordinary, 1.0), (odd, 10.0)):
        sound[0, -1] = np.log(seconds)
        shares.append(personalizer.told(sound).item())
    assert shares[0] > 0.9 > shares[1] > shares[2] and shares[3] < 0.01
    average = torch.nn.functional.normalize(personalizer.table, dim=-1).mean(0)
    assert torch.allclose(personalizer.read(odd)[0], average * 2.0 / average.norm(), atol=1e-3)
    ordinary[0, -1] = np.log(120.0)
    read = personalizer.read(ordinary)[0]
    assert not torch.allclose(read, average * 2.0 / average.norm(), atol=0.05)
    assert torch.equal(read, personalizer.read(ordinary)[0])


def test_the_reading_is_learned_from_the_rows_whose_own_voice_speaks() -> None:
    """Breaks if the likelihood is lost, or counts rows whose sound is another person's."""
    torch.manual_seed(0)
    rig = tiny_rig().rig
    config = replace(reading_config(4), names=rig.names, feature_width=12, encoder_dilations=(1,), width=12)
    network = FaceDiffusion(config).eval()
    matched = torch.tensor([True, False, True, False])
    batch = Batch(
        torch.randn(4, 24, 80), torch.rand(4, 6, 52), torch.arange(4), matched, torch.zeros(4, 6, dtype=torch.long),
        measures=torch.randn(4, len(MEASURES) + 1),
    )  # fmt: skip
    draw = Draw.sample(batch, torch.Generator().manual_seed(0), 0.0)
    losses = Objective(network, rig, LossWeights(), 2)(batch, batch.mel, draw, Part.of(batch))
    expected = network.personalizer.reading_loss(batch.measures, batch.identity)[matched].mean()
    assert losses["reading"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("voices", [400, 24, 6])
def test_a_settled_reading_believes_what_holds_of_voices_left_out(voices: int) -> None:
    """Breaks if few voices are believed as many are, if more than the reading changes, or if the reading is not the best."""
    torch.manual_seed(1)
    personalizer = Personalizer(reading_config(2 * voices)).eval().requires_grad_(False)
    measures = torch.randn(2 * voices, len(MEASURES) + 1).repeat(3, 1)
    measures[:, -1] = torch.log(torch.empty(len(measures)).uniform_(3.0, 120.0))
    identity = torch.arange(2 * voices).repeat(3)
    relation = torch.randn(len(MEASURES), 4) / len(MEASURES) ** 0.5
    own = measures[: 2 * voices, :-1].clamp(-3, 3) @ relation + 0.7 * torch.randn(2 * voices, 4)
    with torch.no_grad():
        personalizer.table.copy_(1.0 + 0.05 * own)
    before = {name: value.clone() for name, value in personalizer.state_dict().items()}
    heard = identity < voices  # the others' rows are of the table, and not learned from
    settle_reading(personalizer, measures[heard], identity[heard])
    after = personalizer.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    if voices < LEAST_VOICES:
        assert not changed
        return
    assert changed == {"voice.direction.weight", "voice.log_spread.weight", "voice.log_spread.bias"}
    assert not any(parameter.requires_grad for parameter in personalizer.parameters())
    rows, average = personalizer.named(identity), personalizer.named(identity).mean(0)
    errors = [(rows - style)[~heard].square().sum(-1).mean() for style in (average, personalizer.read(measures))]
    told = personalizer.told(measures[~heard]).mean()
    assert errors[1] < errors[0], "a voice that was not heard is read worse than not at all"
    assert (errors[1] < 0.55 * errors[0] and told > 0.45) if voices == 400 else told < 0.5


def test_a_training_settles_its_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a training ends with the reading that its steps have left."""
    monkeypatch.setattr("talker_cli.train.reading.LEAST_VOICES", 4)  # the tiny dataset has no more
    monkeypatch.setattr("talker_cli.train.reading.ITERATIONS", 20)  # the minimum is another test's
    dataset = Dataset(tiny_dataset(tmp_path / "prepared"))
    config = TrainConfig(
        steps=2, batch_frames=64, warmup=0, save_every=100, validate_every=100,
        model=Architecture(feature_width=12, encoder_dilations=(1,), width=12, denoiser_dilations=(1,)),
    )  # fmt: skip
    path = train(dataset.folder, tmp_path / "model", config, device="cpu", on_progress=lambda progress: None)
    network = load_model(path, "teacher")
    bank = ClipBank(dataset, "train", network.config)
    measures, identity = bank.listenings(STRETCHES, np.random.default_rng(config.seed))
    assert sorted(identity.tolist()) == sorted([*range(4)] * STRETCHES)
    saved = {name: value.clone() for name, value in network.personalizer.state_dict().items()}
    settle_reading(network.personalizer, measures, identity)
    again = network.personalizer.state_dict()
    assert saved["voice.direction.weight"].any() and all(torch.equal(again[name], saved[name]) for name in saved)


def test_batches_hear_the_clips_own_voice(tmp_path: Path) -> None:
    """Breaks if the measures of a row are of another voice, or of less speech than its recording has."""
    dataset = Dataset(tiny_dataset(tmp_path))
    config = ModelConfig(
        "teacher", "", dataset.rig.rig.names, dataset.info.identities, voice_measures=MEASURES, feature_width=16,
    )  # fmt: skip
    bank = ClipBank(dataset, "train", config)
    own = {}
    for voice in {recording.voice for recording in dataset.info.recordings}:
        names = [each.name for each in dataset.info.recordings if each.voice == voice and each.split == "train"]
        own[voice] = sum(VoiceSums.of(dataset.speech(name)).values[0] for name in names)
    voice_of_row = {row: f"voice{row}" for row in range(4)}
    for step in range(20):
        batch = bank.batch(256, np.random.default_rng(step), augment=True)
        assert batch.measures is not None and batch.measures.shape == (len(batch.identity), len(MEASURES) + 1)
        for row in np.flatnonzero(batch.voice_matched.numpy()):
            seconds = float(batch.measures[row, -1].exp())
            assert seconds <= own[voice_of_row[int(batch.identity[row])]] / 100 + 1e-3
    noisy, plain = (bank.batch(256, np.random.default_rng(3), augment=augment).measures for augment in (True, False))
    assert noisy is not None and plain is not None and not torch.equal(noisy, plain), "voices are learned by heart"
    assert LISTENING[0] < LISTENING[1]
    mean, std = bank.voice_statistics()
    assert np.isfinite(mean).all() and (std > 0).all()


def test_voices_are_measured_once_and_of_the_speech_that_is_there(tmp_path: Path) -> None:
    """Breaks if sums are kept of other speech, if a damaged file stops a training, or if each training measures again."""
    dataset = Dataset(tiny_dataset(tmp_path))
    first, *others = dataset.recordings
    expected = {name: VoiceSums.of(dataset.speech(name)).values for name in dataset.recordings}
    file = dataset.folder / "features" / "voices.safetensors"

    def made(names: list[str]) -> int:
        found = voice_sums(dataset, names)
        assert [*found] == names and all(np.array_equal(found[name].values, expected[name]) for name in names)
        return file.stat().st_mtime_ns

    times = [made([first]), made([first, *others]), made([first, *others]), made(others)]
    assert times[0] < times[1] == times[2] == times[3]
    file.write_bytes(file.read_bytes()[:100])
    assert made([first]) > times[3]
    made([first, *others])
    kept = ArrayFile(file, "sums")
    checksums = kept.metadata["crc32"][:1] + [0] * len(others)
    marked = kept.array("sums").copy()
    marked[:, 0] = 77.0
    write_arrays(file, {"sums": marked}, kept.metadata | {"crc32": checksums})
    found = voice_sums(dataset, [first, *others])
    assert found[first].values[0] == 77.0, "the first is what the file holds"
    assert all(np.array_equal(found[name].values, expected[name]) for name in others), "the others are of other speech"


def test_a_reader_says_how_much_the_sound_tells() -> None:
    """Breaks if a style of several clips is not that of their sums, or an older model claims to know its uncertainty."""
    torch.manual_seed(0)
    network = FaceDiffusion(replace(reading_config(), feature_width=16, width=24)).eval()
    reader = StyleReader(TorchRunner(network, torch.device("cpu")))
    one, other = (reader.hear(talk(seconds=6.0, rate=rate)) for rate in (3.0, 5.0))
    both = reader.style([one, other])
    assert both.told is not None and 0 < both.told < 1 and np.linalg.norm(both.style) == pytest.approx(2.0, abs=1e-5)
    again = VoiceSums.total([one.sums, other.sums]).reading()
    assert np.allclose(network.personalizer.read(torch.from_numpy(again)[None])[0].detach().numpy(), both.style)
    old = FaceDiffusion(replace(reading_config(), feature_width=16, width=24, voice_measures=())).eval()
    reader = StyleReader(TorchRunner(old, torch.device("cpu")))
    assert reader.style([reader.hear(talk(seconds=3.0))]).told is None


def test_a_model_of_voices_lists_and_speaks_in_them(tmp_path: Path, invoke: Command) -> None:
    """Breaks if voices crowd the list, cannot be asked for or pass for captured, or what sound tells of a style is not said."""
    torch.manual_seed(0)
    rigs = tiny_rig()
    rigs.identities["Ada"] = replace(rigs.identities["Ada"], about="captured: a person of GRID")
    (tmp_path / "m").mkdir()
    save_rig(tmp_path / "m" / "rig.safetensors", rigs)
    names = (*rigs.identities, "carlo")
    config = ModelConfig(
        "teacher", file_hash(tmp_path / "m" / "rig.safetensors"), rigs.rig.names, names, feature_width=12,
        encoder_dilations=(1,), width=12, denoiser_dilations=(1,), style_width=8, voice_measures=MEASURES,
    )  # fmt: skip
    save_model(tmp_path / "m" / "teacher.safetensors", FaceDiffusion(config))
    shutil.copy(Path(__file__).parents[1] / "examples" / "speech.wav", "a.wav")
    listed = [[line.split()[0] for line in invoke("identities", *more, "--model", "m", "--library", "lib").out.splitlines()]
              for more in ((), ("--voices",))]  # fmt: skip
    assert listed == [list(rigs.identities), list(names)]
    assert "talker: voices besides these: 1, " in invoke("identities", "--model", "m", "--library", "lib").err
    how = ("--model", "m", "--steps", 1, "--device", "cpu", "--library", "lib")
    ran = invoke("animate", "a.wav", "-i", "carlo", *how)
    assert ran.code == 0 and "carlo is a voice: a modelled style, without a face of its own" in ran.err, ran.err
    assert json.loads((tmp_path / "out.json").read_text())["identity"] == "carlo"
    frames = np.load(tmp_path / "out.npy")
    offsets = frames - rigs.rig.offsets(np.load(tmp_path / "out.coefficients.npy"))
    assert np.allclose(offsets, rigs.rig.template, atol=1e-6), "a voice has the neutral face"
    assert "Ada is captured: a person of GRID" in invoke("animate", "a.wav", "-i", "Ada", "-o", "ada.npz", *how).err
    ran = invoke(
        "animate", "a.wav", "-i", "auto", "--model", "m", "--steps", 1, "--device", "cpu", "--library", "lib", "-o", "b.npy"
    )
    assert ran.code == 0 and "is carlo" not in ran.err, ran.err
    ran = invoke("enroll", "a.wav", "--name", "anna", "--model", "m", "--library", "lib", "--device", "cpu")
    assert ran.code == 0 and "the sound tells 50 % of the style" in ran.err, ran.err
    line = invoke("enroll", "a.wav", "--name", "carl", "--model", "m", "--library", "lib", "--device", "cpu").mistake
    assert "means the model's own carlo" in line, "no name that only a voice would answer to"
    told = json.loads(invoke("identities", "show", "anna", "--library", "lib", "--json").out)
    assert told["told"] == pytest.approx(0.5, abs=0.01) and told["base_face"] in rigs.identities


def test_onnx_runtime_reads_a_voice_as_torch_does(tmp_path: Path) -> None:
    """Breaks if a student's graph reads another style, or believes another share of it."""
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    config = replace(
        reading_config(), kind="student", timesteps=(256,), feature_width=12, encoder_dilations=(1,), width=12,
        denoiser_dilations=(1,),
    )  # fmt: skip
    network = FaceDiffusion(config)
    for parameter in network.personalizer.voice.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.2)
    save_model(tmp_path / "student.safetensors", network)
    export_student(tmp_path / "student.safetensors", tmp_path / "student.onnx")
    measures = np.random.default_rng(0).normal(size=(3, len(MEASURES) + 1)).astype(np.float32)
    one = TorchRunner(load_model(tmp_path / "student.safetensors", "student"), torch.device("cpu"))
    other = OnnxRunner(tmp_path / "student.onnx")
    assert np.abs(one.read_styles(measures) - other.read_styles(measures)).max() < 1e-5
    assert np.abs(one.told(measures) - other.told(measures)).max() < 1e-5 and np.ptp(one.told(measures)) > 0.01
