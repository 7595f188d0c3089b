"""The synthetic voices, and the voices that training never hears."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SyntheticVoice:
    """One voice of a synthesiser.

    Args:
        name: Name in the dataset.
        program: "flite", "festival", "espeak-ng" or "kokoro".
        voice: Name in the program; "language+variant" for espeak-ng.
        pitch: Pitch by espeak-ng's -p, 0…99.
        rate: Speaking rate, words a minute.
        level: Peak of the recording, 0…1.
        language: ISO 639-1 code of its texts.
    """

    name: str
    program: str
    voice: str
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


# flite's four voices of people, festival's, then espeak-ng's.
SYNTHETIC_VOICES: tuple[SyntheticVoice, ...] = (
    SyntheticVoice("flite_slt", "flite", "slt", rate=165),
    SyntheticVoice("flite_rms", "flite", "rms", rate=150, level=0.45),
    SyntheticVoice("flite_awb", "flite", "awb", rate=185, level=0.65),
    SyntheticVoice("flite_kal16", "flite", "kal16", rate=165, level=0.55),
    # festival's; those of other languages speak `sentences_by_language`. Its slt, the speaker of flite's slt, its
    # kal, flite's kal16, and its Italian voices are left out: that speaker and that language are held out.
    SyntheticVoice("festival_ked", "festival", "ked_diphone", rate=170, level=0.6),
    SyntheticVoice("festival_dita", "festival", "czech_dita", rate=165, level=0.55, language="cs"),
    SyntheticVoice("festival_krb", "festival", "czech_krb", rate=170, level=0.5, language="cs"),
    SyntheticVoice("festival_machac", "festival", "czech_machac", rate=155, level=0.45, language="cs"),
    SyntheticVoice("festival_ph", "festival", "czech_ph", rate=160, level=0.58, language="cs"),
    SyntheticVoice("festival_lj", "festival", "suo_fi_lj_diphone", rate=150, level=0.58, language="fi"),
    SyntheticVoice("festival_mv", "festival", "hy_fi_mv_diphone", rate=165, level=0.55, language="fi"),
    SyntheticVoice("festival_ona", "festival", "upc_ca_ona_hts", rate=160, level=0.48, language="ca"),
    SyntheticVoice("festival_hindi", "festival", "hindi_NSK_diphone", rate=165, level=0.35, language="hi"),
    SyntheticVoice("festival_marathi", "festival", "marathi_NSK_diphone", rate=160, level=0.35, language="mr"),
    SyntheticVoice("festival_telugu", "festival", "telugu_NSK_diphone", rate=165, level=0.6, language="te"),
    SyntheticVoice("festival_nsh", "festival", "msu_ru_nsh_clunits", rate=165, level=0.4, language="ru"),
    SyntheticVoice("espeak_m1", "espeak-ng", "en-us+m1", 38, 150, 0.42),
    SyntheticVoice("espeak_m3", "espeak-ng", "en+m3", 32, 145, 0.42),
    SyntheticVoice("espeak_boris", "espeak-ng", "en-us+boris", 40, 150, 0.42),
    SyntheticVoice("espeak_denis", "espeak-ng", "en-us+Denis", 36, 155, 0.42),
    SyntheticVoice("espeak_f1", "espeak-ng", "en-us+f1", 42, 155, 0.48),
    SyntheticVoice("espeak_belinda", "espeak-ng", "en+belinda", 45, 150, 0.48),
    SyntheticVoice("espeak_linda", "espeak-ng", "en-us+linda", 46, 160, 0.48),
    SyntheticVoice("espeak_f2", "espeak-ng", "en-us+f2", 55, 170, 0.55),
    SyntheticVoice("espeak_annie", "espeak-ng", "en-us+Annie", 54, 172, 0.55),
    SyntheticVoice("espeak_m2", "espeak-ng", "en-us+m2", 58, 185, 0.7),
    SyntheticVoice("espeak_adam", "espeak-ng", "en-us+adam", 60, 190, 0.7),
    SyntheticVoice("espeak_rob", "espeak-ng", "en-gb-scotland+rob", 56, 185, 0.7),
    SyntheticVoice("espeak_victor", "espeak-ng", "en-us+victor", 60, 180, 0.7),
    SyntheticVoice("espeak_f3", "espeak-ng", "en-us+f3", 66, 180, 0.5),
    SyntheticVoice("espeak_alicia", "espeak-ng", "en-us+Alicia", 62, 178, 0.5),
    SyntheticVoice("espeak_andrea", "espeak-ng", "en+Andrea", 64, 182, 0.5),
    SyntheticVoice("espeak_f5", "espeak-ng", "en-us+f5", 64, 185, 0.5),
    SyntheticVoice("espeak_m4", "espeak-ng", "en-us+m4", 42, 192, 0.35),
    SyntheticVoice("espeak_m7", "espeak-ng", "en+m7", 40, 195, 0.35),
    SyntheticVoice("espeak_alex", "espeak-ng", "en-us+Alex", 44, 190, 0.35),
    SyntheticVoice("espeak_hugo", "espeak-ng", "en-us+Hugo", 42, 190, 0.35),
    SyntheticVoice("espeak_f4", "espeak-ng", "en-us+f4", 40, 140, 0.58),
    SyntheticVoice("espeak_steph", "espeak-ng", "en-us+steph", 42, 138, 0.58),
    SyntheticVoice("espeak_anika", "espeak-ng", "en+anika", 44, 142, 0.58),
    SyntheticVoice("espeak_m5", "espeak-ng", "en-us+m5", 42, 160, 0.58),
    SyntheticVoice("espeak_david", "espeak-ng", "en+david", 38, 158, 0.58),
    SyntheticVoice("espeak_mike", "espeak-ng", "en-us+Mike", 40, 162, 0.58),
)
# Ten whole voices: four people (three men) and six synthetic voices (four women).
HELD_OUT_VOICES = frozenset({
    "carlo_it", "paola_it", "fillets_cs_statue", "fillets_nl_big",
    "flite_slt", "festival_ona", "festival_ph", "espeak_anika", "espeak_f3", "espeak_david",
})  # fmt: skip
