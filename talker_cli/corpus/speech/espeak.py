"""Speech and exact phone times from libespeak-ng, by ctypes: its command line does not print phone times."""

import ctypes
import ctypes.util
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np

from talker_cli.corpus.align.phonetics import phones_of_ipa, unknown_ipa
from talker_cli.errors import MachineError
from talker_cli.formats.processes import fork_context

# speak_lib.h
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS = 0x0001
INITIALIZE_PHONEME_IPA = 0x0002
EVENT_LIST_TERMINATED = 0
EVENT_PHONEME = 7
PARAMETER_RATE = 1
PARAMETER_PITCH = 3
CHARS_UTF8 = 1


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int), ("sample", ctypes.c_int), ("user_data", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class TimedSpeech:
    """Speech of espeak-ng: (S,) int16 samples, their rate in hertz, and each phone (ARPAbet symbol or "", start in seconds)."""

    samples: np.ndarray
    sample_rate: int
    starts: list[tuple[str, float]]


class _Library:
    """libespeak-ng and the samples and events of its callback."""

    def __init__(self) -> None:
        try:
            self.lib = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
        except OSError as error:
            raise MachineError(
                "libespeak-ng was not found; the corpus needs it for voices; run: apt-get install espeak-ng"
            ) from error
        options = INITIALIZE_PHONEME_EVENTS | INITIALIZE_PHONEME_IPA
        self.sample_rate = int(self.lib.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 500, None, options))
        if self.sample_rate <= 0:
            raise MachineError("libespeak-ng found no voice data; run: apt-get install --reinstall espeak-ng-data")
        self.samples: list[np.ndarray] = []
        self.events: list[tuple[str, int]] = []
        self.callback = _CALLBACK(self._gather)  # kept, because ctypes does not
        self.lib.espeak_SetSynthCallback(self.callback)

    def _gather(self, wav: Any, count: int, events: Any) -> int:
        if count > 0:
            self.samples.append(np.ctypeslib.as_array(wav, (count,)).copy())
        index = 0
        while events[index].type != EVENT_LIST_TERMINATED:
            if events[index].type == EVENT_PHONEME:
                self.events.append((events[index].id.string.decode("utf-8", "ignore"), events[index].sample))
            index += 1
        return 0


def speak_with_espeak(voice: str, pitch: int, rate: int, text: str) -> TimedSpeech:
    """Synthesise a text; phones in unknown IPA letters become "" (a pause).

    The library's sound and times depend on all texts before, so each text is synthesised in a process of its own.

    Args:
        voice: Voice of espeak-ng, "language+variant".
        pitch: Pitch, 0…99.
        rate: Speaking rate, words a minute.
        text: Text.

    Raises:
        MachineError: espeak-ng or this voice of it is not installed.
    """
    context = fork_context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_speak, args=(sender, voice, pitch, rate, text), daemon=True)
    process.start()
    sender.close()  # our end: if the process dies, recv ends with EOFError
    try:
        answer = receiver.recv()
    except EOFError as error:
        raise MachineError(f"libespeak-ng ended while it synthesised '{text[:60]}'; run: apt-get install espeak-ng") from error
    finally:
        receiver.close()
        process.join()
    if isinstance(answer, MachineError):
        raise answer
    return cast(TimedSpeech, answer)


def _speak(sender: Connection, *arguments: Any) -> None:
    try:
        sender.send(_speak_here(*arguments))
    except MachineError as error:
        sender.send(error)


def _speak_here(voice: str, pitch: int, rate: int, text: str) -> TimedSpeech:
    library = _Library()
    if library.lib.espeak_SetVoiceByName(voice.encode()) != 0:
        raise MachineError(
            f"espeak-ng has no voice {voice}; expected the variants of espeak-ng 1.51; run: apt-get install espeak-ng-data"
        )
    library.lib.espeak_SetParameter(PARAMETER_RATE, rate, 0)
    library.lib.espeak_SetParameter(PARAMETER_PITCH, pitch, 0)
    data = text.encode() + b"\0"
    library.lib.espeak_Synth(data, len(data), 0, 1, 0, CHARS_UTF8, None, None)
    library.lib.espeak_Synchronize()
    samples = np.concatenate(library.samples) if library.samples else np.zeros(1, np.int16)
    starts: list[tuple[str, float]] = []
    for index, (ipa, sample) in enumerate(library.events):
        start = sample / library.sample_rate
        stop = library.events[index + 1][1] if index + 1 < len(library.events) else len(samples)
        phones = phones_of_ipa(ipa, "en") if not unknown_ipa(ipa, "en") else []
        length = (stop - sample) / library.sample_rate
        for part, phone in enumerate(phones or [""]):
            starts.append((phone, start + part * length / max(1, len(phones))))
    return TimedSpeech(samples, library.sample_rate, starts)
