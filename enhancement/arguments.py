"""What networks, losses and data say of arguments that they cannot be built with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def require(fits: bool, name: str, expected: str, value: Any) -> None:
    """Refuse an argument.

    Raises:
        ValueError: It does not fit.
    """
    if not fits:
        shown = list(value) if isinstance(value, tuple) else value
        raise ValueError(f"Expected `{name}` to be {expected}, but got {shown!r}.")


def require_at_least(least: int, **given: float | Sequence[int]) -> None:
    """Refuse numbers, or sequences of them, with one that is below the least.

    Raises:
        ValueError: One is.
    """
    for name, value in given.items():
        if isinstance(value, Sequence):
            fits = min(value, default=least) >= least
            require(fits, name, f"whole numbers of at least {least}", value)
        else:
            require(value >= least, name, f"at least {least}", value)


def require_multiple(divisor: int, **given: int) -> None:
    """Refuse numbers that a divisor does not divide, or that are not above 0.

    Raises:
        ValueError: One is refused.
    """
    for name, value in given.items():
        expected = f"a multiple of {divisor}" + " above 0" * (value <= 0)
        require(value > 0 and value % divisor == 0, name, expected, value)


def require_one_of(choices: Sequence[Any], **given: Any) -> None:
    """Refuse what is not among the choices.

    Raises:
        ValueError: It is not.
    """
    for name, value in given.items():
        *others, last = map(str, choices)
        require(value in choices, name, f"{', '.join(others)} or {last}", value)
