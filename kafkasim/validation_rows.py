"""The table of a comparison: where the line between agreement and disagreement is drawn, its rows, and what they say together.

The rule stands once, in `allowed`. It is about what a real run does to a range by chance: threads and a busy machine move a few records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from kafkasim.promises import HELD, number

ALLOWED_RECORDS = 6
ALLOWED_SHARE = 0.10
NOT_PROMISED = "not promised"
NOT_APPLIED = "not applied"
NEVER_FIRED = "never fired"
NOBODY = "nobody"
DONE = "done"
DIGITS = 9  # of a rate: one record of a billion

Number = int | float
Kind = Literal["count", "rate", "time"]


def allowed(low: float, high: float, records: float = ALLOWED_RECORDS) -> tuple[float, float]:
    """What a real run may show where the simulator's seeds span `low` to `high`.

    Each bound is moved outwards by the larger of 6 records and 10 % of itself, no further than zero; and where every seed says zero,
    zero it must be. `records`: 6 records in the unit of the bounds (6 / sent for a rate).
    """
    if high == 0:
        return 0.0, 0.0
    least = low - max(records, ALLOWED_SHARE * low)
    most = high + max(records, ALLOWED_SHARE * high)
    return max(0.0, round(least, DIGITS)), round(most, DIGITS)


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One number: the simulator's range (None: no seed has it), what is allowed (None: not judged), and each real run's value."""

    key: str
    kind: Kind
    simulated: tuple[Number, Number] | None
    allowed: tuple[float, float] | None
    real: tuple[Number | None, ...]

    @property
    def outside(self) -> tuple[bool, ...]:
        """For each real run, whether it disagrees. What could not be counted disagrees with nothing."""
        if self.allowed is None:
            return (False,) * len(self.real)
        return tuple(value is not None and not self.allowed[0] <= value <= self.allowed[1] for value in self.real)

    @property
    def agrees(self) -> bool | None:
        """None where nothing was judged: a time, or a number that one of the two sides never has."""
        if self.allowed is None or all(value is None for value in self.real):
            return None
        return not any(self.outside)

    @property
    def quiet(self) -> bool:
        """Whether it is zero everywhere and was judged: worth no line of its own."""
        return self.agrees is True and self.simulated == (0, 0) and not any(self.real) and None not in self.real

    @property
    def simulator_words(self) -> str:
        """The range as text."""
        if self.simulated is None:
            return "not counted"
        low, high = map(shown, self.simulated)
        return low if low == high else f"{low} to {high}"

    @property
    def real_words(self) -> tuple[str, ...]:
        """Each real run's value as text."""
        return tuple("not counted" if value is None else shown(value) for value in self.real)

    @property
    def agreement(self) -> str:
        """yes, or no with what would have been accepted; or why it was not judged."""
        if self.agrees is None:
            return "this machine's speed" if self.kind == "time" else "not counted"
        if self.agrees:
            return "yes"
        assert self.allowed is not None, "what disagrees was judged"
        low, high = map(shown, self.allowed)
        return f"no ({low} to {high} accepted)" if self.allowed[1] else "no (only 0 accepted)"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        sides = {"simulated": _listed(self.simulated), "allowed": _listed(self.allowed), "real": list(self.real)}
        return {"key": self.key, "kind": self.kind, **sides, "judged": self.agrees is not None, "agrees": self.agrees}


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One promise: the verdicts that the seeds produce, each real run's, and which of those are unknown for want of a fault."""

    key: str
    simulated: tuple[str, ...]
    real: tuple[str, ...]
    untested: tuple[bool, ...]
    kind: Literal["verdict"] = "verdict"

    @property
    def outside(self) -> tuple[bool, ...]:
        """For each real run, whether no seed produces its verdict. A verdict that was not tested disagrees with nothing."""
        return tuple(word not in self.simulated and not untested for word, untested in zip(self.real, self.untested, strict=True))

    @property
    def agrees(self) -> bool:
        """Whether every real verdict is one of the simulator's, or was not tested."""
        return not any(self.outside)

    @property
    def quiet(self) -> bool:
        """Whether it held in every seed and every run, or was promised in none: worth no line of its own."""
        return {*self.simulated, *self.real} in ({HELD}, {NOT_PROMISED})

    @property
    def simulator_words(self) -> str:
        """The simulator's verdicts as text."""
        return " or ".join(self.simulated)

    @property
    def real_words(self) -> tuple[str, ...]:
        """Each real run's verdict as text."""
        return self.real

    @property
    def agreement(self) -> str:
        """yes, no, or yes by definition."""
        if not self.agrees:
            return "no"
        return "yes (unknown: a fault could not be applied)" if any(self.untested) else "yes"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        sides = {"simulated": list(self.simulated), "real": list(self.real), "untested": list(self.untested)}
        return {"key": self.key, "kind": self.kind, **sides, "judged": True, "agrees": self.agrees}


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One fault: what became of it over the seeds (empty: that was not recorded), and in each real run.

    What becomes of a fault is "1 node", "2 nodes" … (whom it struck), "done" (an administrator's action), "nobody", "never fired", or
    "not applied".
    """

    key: str
    simulated: tuple[str, ...]
    real: tuple[str, ...]
    kind: Literal["fault"] = "fault"

    @property
    def outside(self) -> tuple[bool, ...]:
        """For each real run, whether the fault came out as in no seed. One that could not be applied disagrees with nothing."""
        return tuple(bool(self.simulated) and word not in (*self.simulated, NOT_APPLIED) for word in self.real)

    @property
    def agrees(self) -> bool | None:
        """Whether every real run had the fault as some seed had it; None where the seeds' faults were not recorded."""
        return not any(self.outside) if self.simulated else None

    @property
    def quiet(self) -> bool:
        """Whether it struck as many nodes in every seed and every run: worth no line of its own."""
        words = {*self.simulated, *self.real}
        return bool(self.simulated) and len(words) == 1 and not words & {NOT_APPLIED, NEVER_FIRED, NOBODY}

    @property
    def simulator_words(self) -> str:
        """What became of it in the simulator, as text."""
        return " or ".join(self.simulated) or "not recorded"

    @property
    def real_words(self) -> tuple[str, ...]:
        """What became of it in each real run, as text."""
        return self.real

    @property
    def agreement(self) -> str:
        """yes, no, or yes by definition."""
        if self.agrees is None:
            return "not recorded"
        if not self.agrees:
            return "no"
        return "yes (it could not be applied)" if NOT_APPLIED in self.real else "yes"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        sides = {"simulated": list(self.simulated), "real": list(self.real)}
        return {"key": self.key, "kind": self.kind, **sides, "judged": self.agrees is not None, "agrees": self.agrees}


Row = NumberRow | VerdictRow | FaultRow


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scenario's table. `reasons`: a sentence for a key that disagrees. `notes`: what else tells the two sides apart."""

    scenario: str
    seeds: str
    real_seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing that was judged disagrees. A reason explains a disagreement, it does not end it."""
        return not self.disagreeing

    @property
    def judged(self) -> tuple[Row, ...]:
        """The rows on which there is a judgement."""
        return tuple(row for row in self.rows if row.agrees is not None)

    @property
    def disagreeing(self) -> tuple[Row, ...]:
        """The rows in which a real run lies outside."""
        return tuple(row for row in self.rows if row.agrees is False)

    @property
    def unexplained(self) -> tuple[Row, ...]:
        """The rows that disagree and have no reason."""
        return tuple(row for row in self.disagreeing if row.key not in self.reasons)

    def row(self, key: str) -> Row:
        """The row of a key. Raises KeyError where there is none."""
        found = next((row for row in self.rows if row.key == key), None)
        if found is None:
            raise KeyError(key)
        return found

    def agreement(self, row: Row) -> str:
        """The last cell of a row: "yes", "no (…)", "no (…), because …"."""
        because = f", because {self.reasons[row.key]}" if row.agrees is False and row.key in self.reasons else ""
        return row.agreement + because

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        rows = [row.to_dict() | {"reason": self.reasons.get(row.key) if row.agrees is False else None} for row in self.rows]
        return {
            "scenario": self.scenario,
            "simulator_seeds": self.seeds,
            "real_seeds": list(self.real_seeds),
            "agrees": self.agrees,
            "judged": len(self.judged),
            "disagreeing": [row.key for row in self.disagreeing],
            "notes": list(self.notes),
            "rows": rows,
        }


def shown(value: float) -> str:
    """A number for people: whole ones whole, large ones without decimals, others with three digits that mean something."""
    if value == int(value):
        return number(int(value))
    return number(round(value)) if abs(value) >= 1000 else f"{Decimal(f'{value:.3g}'):f}"


def _listed(pair: tuple[Number, Number] | None) -> list[Number] | None:
    return None if pair is None else list(pair)
