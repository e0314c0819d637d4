"""One page of a list: in the order that was asked for, or in its own."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from supernode.api.models import PageQuery, PartQuery, SortDirection
from supernode.core.errors import BadField

R = TypeVar("R")


def page(
    records: Collection[R], asked: PageQuery, fields: Mapping[str, Callable[[R], Any]]
) -> Sequence[R]:
    """Return the page that was asked for.

    Ties are in order of ID, whatever the direction. What is unknown comes before what is known.

    Args:
        records: what there is.
        asked: which page, sorted by what.
        fields: how to get at what may be sorted by, by the name in the answer; one is ``ID``.

    Raises:
        BadField: one cannot sort by that.
    """
    descending = asked.sort_direct is SortDirection.DESC
    keys = [_field(fields, name) for name in asked.sort_key]
    ordered = sorted(records, key=fields["ID"], reverse=descending and not keys)
    for key in reversed(keys):
        ordered.sort(key=_unknown_first(key), reverse=descending)
    return part(ordered, asked)


def part(records: Sequence[R], asked: PageQuery | PartQuery) -> Sequence[R]:
    """Return the page that was asked for of what is in order; a page size of 0 is everything."""
    if not asked.page_size:
        return records
    start = asked.page_num * asked.page_size
    return records[start : start + asked.page_size]


def _field(fields: Mapping[str, Callable[[R], Any]], name: str) -> Callable[[R], Any]:
    for known, field in fields.items():
        if known.lower() == name.strip().lower():
            return field
    raise BadField("sortKey", f"{name[:64]!r} is not one of {', '.join(fields)}")


def _unknown_first(field: Callable[[R], Any]) -> Callable[[R], tuple[bool, Any]]:
    def rank(record: R) -> tuple[bool, Any]:
        value = field(record)
        return value is not None, value

    return rank
