"""Numbers of bytes as the demo's options take them."""

import pytest

from supernode.demo.amounts import parse_amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("200MiB", 200 << 20),
        ("64MB", 64 << 20),
        ("64M", 64 << 20),
        ("1GiB", 1 << 30),
        ("1.5g", 3 << 29),
        ("20 KiB", 20 << 10),
        ("1048577", 1048577),
        ("7B", 7),
    ],
)
def test_amounts_are_read(text: str, amount: int) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text", ["", "0", "0.1", "-1M", "many", "5 apples", "1MiBs", "1,5M", "MiB"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of bytes"):
        parse_amount(text)
