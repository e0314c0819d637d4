"""Numbers of bytes as people write them. All units are 1024-based, as dfget's are."""

import re

import click

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_amount(text: str) -> int:
    """Return the bytes for ``200MiB``, ``64MB``, ``1.5g`` or a plain number of bytes.

    Raises:
        ValueError: anything else, or less than one byte.
    """
    match = _AMOUNT.fullmatch(text.strip())
    amount = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if amount < 1:
        raise ValueError(f"{text!r} is not a number of bytes such as 200MiB, 64M or 1048576")
    return amount


class Amount(click.ParamType[int]):
    """A command line option's number of bytes."""

    name = "amount"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes, or fail as click does."""
        if isinstance(value, int):
            return value
        try:
            return parse_amount(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
