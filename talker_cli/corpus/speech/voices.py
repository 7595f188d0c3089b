"""The synthetic voices and the identity of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SyntheticVoice:
    """One voice of a synthesiser.

    Args:
        name: Name in the dataset.
        program: "flite", "festival", "espeak-ng" or "kokoro".
        voice: Name in the program; "language+variant" for espeak-ng.
        identity: Index of its speaker in styles.SPEAKERS; None: the one nearest in pitch.
        pitch: Pitch by espeak-ng's -p, 0…99.
        rate: Speaking rate, words a minute.
        level: Peak of the recording, 0…1.
        language: ISO 639-1 code of its texts.
    """

    name: str
    program: str
    voice: str
    identity: int | None
    pitch: int = 50
    rate: int = 165
    level: float = 0.5
    language: str = "en"

    @property
    def licence(self) -> str:
        """Return the licence of the voice's speech."""
        return next(licence for start, licence in LICENCES.items() if f"{self.program} {self.voice}".startswith(start))


# Licences of the voices by the beginning of "program voice", from their packages.
LICENCES = {
    "flite": "BSD-like, Carnegie Mellon University",
    "kokoro": "Apache-2.0, hexgrad",
    "espeak-ng": "GPL-3.0-or-later program, its output is free",
    "festival ked": "BSD-like, University of Edinburgh",
    "festival czech": "GPL-3.0-or-later, Brailcom",
    "festival suo_fi": "LGPL-2.1, Suopuhe",
    "festival hy_fi": "LGPL-2.1, Suopuhe",
    "festival upc_ca": "LGPL-2.1-or-later, Universitat Politècnica de Catalunya",
    "festival hindi": "GPL-2.0-or-later, Priti Patil",
    "festival marathi": "GPL-2.0-or-later, Priti Patil",
    "festival telugu": "GPL-2.0-or-later, Chaithanya Kamishetty",
    "festival msu_ru": "BSD-like, Nickolay V. Shmyrev",
}


# flite's four voices of people, festival's, then espeak-ng's. Rates, pitches and levels follow the identities' voice profiles.
SYNTHETIC_VOICES: tuple[SyntheticVoice, ...] = (
    SyntheticVoice("flite_slt", "flite", "slt", 0, rate=165),
    SyntheticVoice("flite_rms", "flite", "rms", 1, rate=150, level=0.45),
    SyntheticVoice("flite_awb", "flite", "awb", 3, rate=185, level=0.65),
    SyntheticVoice("flite_kal16", "flite", "kal16", 7, rate=165, level=0.55),
    # festival's; those of other languages speak `sentences_by_language`. Its slt, the speaker of flite's slt, its
    # kal, flite's kal16, and its Italian voices are left out: that speaker and that language are held out.
    SyntheticVoice("festival_ked", "festival", "ked_diphone", 7, rate=170, level=0.6),
    SyntheticVoice("festival_dita", "festival", "czech_dita", 2, rate=165, level=0.55, language="cs"),
    SyntheticVoice("festival_krb", "festival", "czech_krb", 4, rate=170, level=0.5, language="cs"),
    SyntheticVoice("festival_machac", "festival", "czech_machac", 1, rate=155, level=0.45, language="cs"),
    SyntheticVoice("festival_ph", "festival", "czech_ph", 3, rate=160, level=0.58, language="cs"),
    SyntheticVoice("festival_lj", "festival", "suo_fi_lj_diphone", 6, rate=150, level=0.58, language="fi"),
    SyntheticVoice("festival_mv", "festival", "hy_fi_mv_diphone", 1, rate=165, level=0.55, language="fi"),
    SyntheticVoice("festival_ona", "festival", "upc_ca_ona_hts", 0, rate=160, level=0.48, language="ca"),
    SyntheticVoice("festival_hindi", "festival", "hindi_NSK_diphone", 5, rate=165, level=0.35, language="hi"),
    SyntheticVoice("festival_marathi", "festival", "marathi_NSK_diphone", 5, rate=160, level=0.35, language="mr"),
    SyntheticVoice("festival_telugu", "festival", "telugu_NSK_diphone", 3, rate=165, level=0.6, language="te"),
    SyntheticVoice("festival_nsh", "festival", "msu_ru_nsh_clunits", 5, rate=165, level=0.4, language="ru"),
    SyntheticVoice("espeak_m1", "espeak-ng", "en-us+m1", 1, 38, 150, 0.42),
    SyntheticVoice("espeak_m3", "espeak-ng", "en+m3", 1, 32, 145, 0.42),
    SyntheticVoice("espeak_boris", "espeak-ng", "en-us+boris", 1, 40, 150, 0.42),
    SyntheticVoice("espeak_denis", "espeak-ng", "en-us+Denis", 1, 36, 155, 0.42),
    SyntheticVoice("espeak_f1", "espeak-ng", "en-us+f1", 0, 42, 155, 0.48),
    SyntheticVoice("espeak_belinda", "espeak-ng", "en+belinda", 0, 45, 150, 0.48),
    SyntheticVoice("espeak_linda", "espeak-ng", "en-us+linda", 0, 46, 160, 0.48),
    SyntheticVoice("espeak_f2", "espeak-ng", "en-us+f2", 2, 55, 170, 0.55),
    SyntheticVoice("espeak_annie", "espeak-ng", "en-us+Annie", 2, 54, 172, 0.55),
    SyntheticVoice("espeak_m2", "espeak-ng", "en-us+m2", 3, 58, 185, 0.7),
    SyntheticVoice("espeak_adam", "espeak-ng", "en-us+adam", 3, 60, 190, 0.7),
    SyntheticVoice("espeak_rob", "espeak-ng", "en-gb-scotland+rob", 3, 56, 185, 0.7),
    SyntheticVoice("espeak_victor", "espeak-ng", "en-us+victor", 3, 60, 180, 0.7),
    SyntheticVoice("espeak_f3", "espeak-ng", "en-us+f3", 4, 66, 180, 0.5),
    SyntheticVoice("espeak_alicia", "espeak-ng", "en-us+Alicia", 4, 62, 178, 0.5),
    SyntheticVoice("espeak_andrea", "espeak-ng", "en+Andrea", 4, 64, 182, 0.5),
    SyntheticVoice("espeak_f5", "espeak-ng", "en-us+f5", 4, 64, 185, 0.5),
    SyntheticVoice("espeak_m4", "espeak-ng", "en-us+m4", 5, 42, 192, 0.35),
    SyntheticVoice("espeak_m7", "espeak-ng", "en+m7", 5, 40, 195, 0.35),
    SyntheticVoice("espeak_alex", "espeak-ng", "en-us+Alex", 5, 44, 190, 0.35),
    SyntheticVoice("espeak_hugo", "espeak-ng", "en-us+Hugo", 5, 42, 190, 0.35),
    SyntheticVoice("espeak_f4", "espeak-ng", "en-us+f4", 6, 40, 140, 0.58),
    SyntheticVoice("espeak_steph", "espeak-ng", "en-us+steph", 6, 42, 138, 0.58),
    SyntheticVoice("espeak_anika", "espeak-ng", "en+anika", 6, 44, 142, 0.58),
    SyntheticVoice("espeak_m5", "espeak-ng", "en-us+m5", 7, 42, 160, 0.58),
    SyntheticVoice("espeak_david", "espeak-ng", "en+david", 7, 38, 158, 0.58),
    SyntheticVoice("espeak_mike", "espeak-ng", "en-us+Mike", 7, 40, 162, 0.58),
)
HELD_OUT_VOICES = frozenset({"flite_slt", "carlo_it", "paola_it", "fillets_cs_statue"})
