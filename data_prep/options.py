"""What a user may ask of `prepare`: the settings that the bytes of the result depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from data_prep.columns import MEANINGS
from data_prep.files import FileRule
from data_prep.layout import AS_IT_IS, Layout
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.array import FramesOption
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.known import FRAMES, check_name, frames_of

CORPORA = ("folder", "shards", "two_sines", "many_sines", "demo")
FROM_FILES = ("folder", "shards")
"""Those that are read from SRC."""
SINES = ("two_sines", "many_sines")
"""Those that are made."""
MAX_SAMPLE_RATE = 192_000
_ANY_RATE = 65_535
"""Up to here FLAC has a sign for every rate in Hz, above for every tenth."""
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
    frames: tuple[Frames, ...] = ()
    """What every recording gets beside its audio; those without the file that it is made from are dropped."""

    @property
    def file_rules(self) -> dict[str, FileRule]:
        """Frames that are made of a file beside each recording -> how that is found."""
        return {
            each.name: FileRule(suffixes=each.file_suffixes(), column=each.file_column)
            for each in self.frames
            if each.file_suffixes()
        }


def describe_frames(frames: Iterable[Frames], sample_rate: int) -> dict[str, Any]:
    """Frames as a plan keeps them: by name, those of the user's own below `frames`."""
    described: dict[str, Any] = {}
    for each in frames:
        spec = dict(sorted(each.spec.items()))
        kind = next((kind for kind in FRAMES if kind.name == each.name), None)
        if kind is None:
            described.setdefault("frames", {})[each.name] = spec
        else:  # what has no settings on the command line is there, or it is not
            described[each.name] = spec if kind.has_settings or each != kind.default(sample_rate) else True
    return described


def read_frames(described: Mapping[str, Any], sample_rate: int) -> tuple[Frames, ...]:
    """The frames that `describe_frames` described.

    Raises:
        ValueError: it holds something else than specs.
    """
    built_in: list[Frames] = []
    for kind in FRAMES:
        if spec := described.get(kind.name):
            built_in.append(kind.default(sample_rate) if spec is True else frames_of(kind.name, spec))
    return (*built_in, *(frames_of(name, spec) for name, spec in described.get("frames", {}).items()))


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
    """The corpora `two_sines` and `many_sines`; frequencies and amplitude are for the first."""

    frequencies: tuple[float, float] = (440.0, 660.0)
    amplitude: float = 0.4
    recordings: int = 200
    seconds: float = 2.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """All options of one run of `prepare`."""

    corpus: str
    rules: RuleOptions = RuleOptions()
    splits: SplitOptions = SplitOptions()
    sines: SineOptions = SineOptions()
    tag_columns: tuple[str, ...] = ()
    """Columns of metadata.csv, beside `tags`, whose values are tags."""
    tables: tuple[str, ...] = ()
    """Columns of metadata.csv whose values are names of a table of their own."""
    layout: Layout = AS_IT_IS
    """Where a corpus keeps its names, texts and splits."""
    arrays: tuple[FramesOption, ...] = ()
    """Frames of the user's own; `measured` makes them some of the rules' frames."""
    recordings_per_shard: int = 128

    def describe(self) -> dict[str, Any]:
        """As JSON: for the plan's fingerprint and the report."""
        described = asdict(self)
        for split in ("val", "test"):  # the default and the same in so many words are one plan
            described["splits"][f"{split}_fraction"] = self.splits.fraction(split)
        del described["rules"]["frames"], described["arrays"]
        described["rules"] |= describe_frames(self.rules.frames, self.rules.sample_rate)
        if not self.tables:  # a plan without any is what it was before there were any
            del described["tables"]
        if not (layout := self.layout.describe()):
            del described["layout"]
        else:
            described["layout"] = layout
        if self.corpus not in SINES:
            del described["sines"]
        return described

    def check(self) -> None:
        """Refuse what is out of range, or would be ignored.

        Raises:
            UserError: names the option.
        """
        rules, splits = self.rules, self.splits
        _within("--sample-rate", rules.sample_rate, 1000, MAX_SAMPLE_RATE, "Hz")
        if rules.sample_rate > _ANY_RATE and rules.sample_rate % 10:
            raise UserError(
                f"--sample-rate is {rules.sample_rate}, expected a multiple of 10 above {_ANY_RATE} Hz, as FLAC has no "
                f"others there; take {round(rules.sample_rate, -1)}"
            )
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
        self._check_layout()
        beside = next((f"--{each.name}" for each in rules.frames if each.file_suffixes()), "")
        if (beside := beside or ("--frames" if self.arrays else "")) and self.corpus not in FROM_FILES:
            raise UserError(
                f"{beside} is for files beside those of a folder, and {self.corpus} has none; drop it"
            )
        for option, names in (("--tables", self.tables), ("--frames", [each.name for each in self.arrays])):
            for name in names:
                check_name(option, name)
            if len(set(names)) != len(names):
                raise UserError(f"{option} names one twice, expected each once; drop one")
        if both := sorted(set(self.tables) & {each.name for each in self.arrays}):
            raise UserError(
                f"--tables and --frames both name {both[0]}, expected two names; rename one of them"
            )
        if self.corpus in SINES:
            self._check_sines()

    def _check_layout(self) -> None:
        options = [f"--{name.replace('_', '-')}" for name in self.layout.describe()]
        columns = [
            option
            for option, names in (("--tag-columns", self.tag_columns), ("--tables", self.tables))
            if names
        ]
        if (columns or options) and self.corpus not in FROM_FILES:
            what = "metadata.csv of a folder" if columns else "files of a folder or of shards"
            raise UserError(f"{(columns + options)[0]} is for {what}, and {self.corpus} has none; drop it")
        of_tables = ("--metadata", "--only-listed", *(["--columns"] if self.layout.header[1] else []))
        if self.corpus == "shards" and (wrong := [option for option in options if option in of_tables]):
            raise UserError(
                f"{wrong[0]} is for tables of a folder, and shards have JSON beside each recording, expected at most "
                "--columns NAME=FIELD; drop it"
            )
        self.layout.check(MEANINGS)

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
            raise UserError(f"--holdout-speakers is set, and {self.corpus} has no speakers; drop it")


def _within(option: str, value: float | None, lowest: float, highest: float, unit: str) -> None:
    if value is not None and not lowest <= value <= highest:  # nan is outside, too
        raise UserError(f"{option} is {value:g}, expected {lowest:g} to {highest:g} {unit}")
