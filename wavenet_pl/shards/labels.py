"""Labels: what the numbers of a condition stand for, so that a model and a shard set can be held side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wavenet_pl.audio.features import SPECS, FeatureSpec, read_spec
from wavenet_pl.errors import UserError

_MOST_NAMES = 1_000_000


@dataclass(frozen=True)
class Labels:
    """Names by row, and how features were made."""

    speakers: tuple[str, ...] = ()
    """Row of the speaker table -> its name."""
    tags: tuple[str, ...] = ()
    """Place in a multi-hot row -> its name."""
    features: Mapping[str, FeatureSpec] = field(default_factory=dict)
    """Name of a local input -> how its frames were made."""

    def of(self, inputs: Iterable[str]) -> Labels:
        """Those that a model with these inputs needs; the rest is not its concern."""
        inputs = set(inputs)
        return Labels(
            speakers=self.speakers if "speaker" in inputs else (),
            tags=self.tags if "tags" in inputs else (),
            features={name: spec for name, spec in self.features.items() if name in inputs},
        )

    def to_plain(self) -> dict[str, Any]:
        """As JSON, and as a checkpoint keeps it."""
        features = {name: spec.to_plain() for name, spec in sorted(self.features.items())}
        return {"speakers": list(self.speakers), "tags": list(self.tags), "features": features}

    @classmethod
    def read(cls, plain: Any) -> Labels:
        """What `to_plain` gave.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(plain, Mapping) or set(plain) != {"speakers", "tags", "features"}:
            raise ValueError(f"its labels are {plain!r:.80}, expected speakers, tags and features")
        for what in ("speakers", "tags"):
            names = plain[what]
            if (
                not isinstance(names, (list, tuple))
                or len(names) > _MOST_NAMES
                or not all(isinstance(name, str) for name in names)
                or len(set(names)) != len(names)
            ):
                raise ValueError(f"its {what} are {names!r:.80}, expected different names")
        if not isinstance(plain["features"], Mapping) or not all(name in SPECS for name in plain["features"]):
            raise ValueError(
                f"its features are {plain['features']!r:.80}, expected some of {', '.join(SPECS)}"
            )
        features = {name: read_spec(name, spec) for name, spec in plain["features"].items()}
        return cls(tuple(plain["speakers"]), tuple(plain["tags"]), features)

    def check_same(self, other: Labels, mine: str, others: str) -> None:
        """Refuse to use numbers of one side where the other side means something else by them.

        Args:
            other: the labels of the other side.
            mine: what this side is, such as a path.
            others: what the other side is.

        Raises:
            UserError: names both sides and what differs.
        """
        for what in ("speakers", "tags"):
            ours, theirs = getattr(self, what), getattr(other, what)
            if ours != theirs:
                raise UserError(
                    f"{mine} has the {what} {_some(ours, theirs)}, {others} has {_some(theirs, ours)}, expected the "
                    "same names in the same order; use the data that the model was trained on"
                )
        for name in sorted({*self.features, *other.features}):
            specs = self.features.get(name), other.features.get(name)
            if specs[0] != specs[1]:
                said = [
                    "none" if spec is None else f"{spec.to_plain()} ({spec.fingerprint})" for spec in specs
                ]
                raise UserError(
                    f"{mine} has {name} features {said[0]}, {others} has {said[1]}, expected equal ones; prepare the "
                    "data with the same settings"
                )


def _some(names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """How many names, and the first that the others have not in its place."""
    if not names:
        return "(none)"
    place = next((row for row, name in enumerate(names) if name not in others[row : row + 1]), 0)
    return f"({len(names)}, row {place} is {names[place]!r:.60})"
