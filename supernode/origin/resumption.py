"""Going on where a file broke off, if it is certain to be the same file (RFC 9110 §13.1.5). No I/O.

An origin that has another version by now must be able to tell, so it is asked by a *strong*
validator: one that changes with every byte of the file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

OLD_ENOUGH = timedelta(seconds=60)
"""A file changed so long before it was sent has not changed since in the same second, even if the
clock that dated it is another than the one that dated the answer."""

_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')


@dataclass(frozen=True, slots=True)
class Resumption:
    """What is there already of a file.

    Args:
        first: how many content bytes from its beginning; at least one.
        validator: the strong one that came with them.
        length: of the whole file, in content bytes; None if it is not known.
    """

    first: int
    validator: str
    length: int | None

    @property
    def headers(self) -> dict[str, str]:
        """What asks for the rest, or for all of it if the file is another one by now."""
        return {"Range": f"bytes={self.first}-", "If-Range": self.validator}

    def objection(self, headers: Mapping[str, str], length: int) -> str | None:
        """Return why an answer is not the rest of the file, for people; None if it is.

        Not every origin heeds ``If-Range``.

        Args:
            headers: the answer's; names in any case.
            length: how many content bytes, up to the end of the file, it has.
        """
        if self.length not in (None, self.first + length):
            return f"of a file of {self.first + length} bytes, not {self.length}"
        is_tag = self.validator.startswith('"')
        if headers.get("ETag" if is_tag else "Last-Modified", self.validator) != self.validator:
            return "of another version of the file"
        return None


def strong_validator(headers: Mapping[str, str]) -> str:
    """Return by which validator an answer's content may be continued; "" if by none.

    Args:
        headers: the answer's; names in any case.
    """
    tag = headers.get("ETag")
    if tag is not None:
        return tag if _STRONG_TAG.fullmatch(tag) else ""
    changed = headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(changed)
    except (ValueError, OverflowError, TypeError):  # the last one: only one names its time zone
        return ""
    return changed if age >= OLD_ENOUGH else ""
