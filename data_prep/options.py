"""What a user may ask of `prepare`: the settings that the bytes of the result depend on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from wavenet_pl.audio.features import FeatureSpec, MelSpec, read_spec
from wavenet_pl.audio.mel import default_mel
from wavenet_pl.audio.midi import default_notes
from wavenet_pl.errors import UserError

CORPORA = ("folder", "two_sines", "demo")
MAX_SAMPLE_RATE = 192_000
DEFAULT_FRACTION = 0.05


@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """What is done to every recording."""

    sample_rate: int = 16_000
    trim: float | None = None
    """Silence at both ends is cut where it is so many dB below the recording's own level."""
    loudness: float | None = None
    """LUFS that every recording is brought to."""
    rms: float | None = None
    """The same in dBFS RMS; one of the two."""
    min_seconds: float = 0.1
    """Shorter recordings are dropped."""
    notes: bool = False
    """Each recording gets a piano roll of the MIDI file beside it; those without one are dropped."""
    mel: MelSpec | None = None
    """Each recording gets mel frames of this kind."""

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        """What every recording gets beside its audio."""
        notes = (default_notes(self.sample_rate),) if self.notes else ()
        return notes if self.mel is None else (*notes, self.mel)


def read_mel(text: str | None, sample_rate: int) -> MelSpec | None:
    """What ``--mel SETTINGS`` asks for: the usual frames, but for settings such as ``hop_length=80,num_mels=40``.

    Args:
        text: the settings, which may be empty; None where the option was not given.
        sample_rate: of the shards, in Hz.

    Raises:
        UserError: a setting is unknown, no number, or out of range.
    """
    if text is None:
        return None
    settings = default_mel(sample_rate).to_plain()
    try:
        for part in filter(None, text.split(",")):
            name, equals, value = part.partition("=")
            if not equals or name not in settings:
                raise ValueError(f"{part!r:.60} is none of {', '.join(f'{known}=N' for known in settings)}")
            settings[name] = type(settings[name])(value)
        spec = read_spec(MelSpec.name, settings)
    except ValueError as error:
        raise UserError(
            f"--mel {text} cannot be used ({error}), expected settings such as hop_length=80,window_length=320"
        ) from None
    assert isinstance(spec, MelSpec)
    return spec


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which recordings are for training, validation and test."""

    val_fraction: float | None = None
    """None: 0.05, or 0 where it is the split of the held-out speakers, who are alone there."""
    test_fraction: float | None = None
    """The same."""
    holdout_speakers: tuple[str, ...] = ()
    """All that they say goes to `holdout_split`."""
    holdout_split: str = "test"

    def fraction(self, split: str) -> float:
        """Share of the recordings that goes to `val` or `test` by chance."""
        value = self.val_fraction if split == "val" else self.test_fraction
        if value is not None:
            return value
        return 0.0 if self.holdout_speakers and self.holdout_split == split else DEFAULT_FRACTION


@dataclass(frozen=True, kw_only=True)
class SineOptions:
    """The corpus `two_sines`."""

    frequencies: tuple[float, float] = (440.0, 660.0)
    amplitude: float = 0.4
    recordings: int = 200
    seconds: float = 2.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """All of it."""

    corpus: str
    rules: RuleOptions = RuleOptions()
    splits: SplitOptions = SplitOptions()
    sines: SineOptions = SineOptions()
    tag_columns: tuple[str, ...] = ()
    """Columns of metadata.csv, beside `tags`, whose values are tags."""
    recordings_per_shard: int = 128

    def describe(self) -> dict[str, Any]:
        """As JSON: for the plan's fingerprint and the report."""
        described = asdict(self)
        for split in ("val", "test"):  # the default and the same in so many words are one plan
            described["splits"][f"{split}_fraction"] = self.splits.fraction(split)
        for name in ("notes", "mel"):  # a plan without features is what it was before there were any
            if not described["rules"][name]:
                del described["rules"][name]
        if self.rules.mel is not None:
            described["rules"]["mel"] = dict(sorted(self.rules.mel.to_plain().items()))  # as it is read back
        if self.corpus != "two_sines":
            del described["sines"]
        return described

    def check(self) -> None:
        """Refuse what is out of range, or would be ignored.

        Raises:
            UserError: names the option.
        """
        rules, splits = self.rules, self.splits
        _within("--sample-rate", rules.sample_rate, 1000, MAX_SAMPLE_RATE, "Hz")
        _within("--min-seconds", rules.min_seconds, 0, 60, "seconds")
        _within("--trim", rules.trim, 1, 120, "dB below the recording's own level")
        _within("--loudness", rules.loudness, -60, -1, "LUFS")
        _within("--rms", rules.rms, -60, -1, "dBFS")
        _within("--val-fraction", splits.val_fraction, 0, 0.9, "of the recordings")
        _within("--test-fraction", splits.test_fraction, 0, 0.9, "of the recordings")
        _within("--recordings-per-shard", self.recordings_per_shard, 1, 1_000_000, "recordings")
        if (splits.val_fraction or 0) + (splits.test_fraction or 0) > 0.95:
            raise UserError("--val-fraction and --test-fraction leave less than 0.05 to train on; lower them")
        if rules.loudness is not None and rules.rms is not None:
            raise UserError(
                "--loudness and --rms are both set, expected one level to bring recordings to; drop one"
            )
        fraction = splits.test_fraction if splits.holdout_split == "test" else splits.val_fraction
        if splits.holdout_speakers and fraction:
            raise UserError(
                f"--holdout-speakers makes {splits.holdout_split} a split of speakers that nobody trains on, and "
                f"--{splits.holdout_split}-fraction {fraction:g} would put others among them; drop one of the two"
            )
        if self.tag_columns and self.corpus != "folder":
            raise UserError(
                f"--tag-columns is for metadata.csv of a folder, and {self.corpus} has none; drop it"
            )
        if rules.notes and self.corpus != "folder":
            raise UserError(f"--notes is for MIDI files in a folder, and {self.corpus} has none; drop it")
        if self.corpus == "two_sines":
            self._check_sines()

    def _check_sines(self) -> None:
        sines = self.sines
        nyquist = self.rules.sample_rate / 2
        for frequency in sines.frequencies:
            if not 0 < frequency < nyquist:
                raise UserError(
                    f"--frequencies has {frequency:g} Hz, expected above 0 and below {nyquist:g}, half of --sample-rate"
                )
        if not 0 < sines.amplitude <= 0.5:
            raise UserError(
                f"--amplitude is {sines.amplitude:g}, expected above 0 and at most 0.5: two sines add up"
            )
        _within("--recordings", sines.recordings, 2, 1_000_000, "recordings")
        _within("--seconds", sines.seconds, 0.1, 3600, "seconds")
        if self.splits.holdout_speakers:
            raise UserError("--holdout-speakers is set, and two_sines has no speakers; drop it")


def _within(option: str, value: float | None, lowest: float, highest: float, unit: str) -> None:
    if value is not None and not lowest <= value <= highest:  # nan is outside, too
        raise UserError(f"{option} is {value:g}, expected {lowest:g} to {highest:g} {unit}")
