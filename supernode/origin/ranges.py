"""Whether a part of a file is the one that was asked for (RFC 9110 §14). No I/O."""

import math
import re

_NUMBER = "([0-9]{1,19})"
_ASKED = re.compile(rf"bytes=(?:{_NUMBER}-{_NUMBER}?|-{_NUMBER})", re.IGNORECASE)
_SENT = re.compile(rf"bytes {_NUMBER}-{_NUMBER}/(?:{_NUMBER}|\*)", re.IGNORECASE)


def part_length(asked: str, sent: str) -> int | None:
    """Return how many bytes were asked for and are sent; None if these are not the same bytes.

    One range is one to the byte, but that it ends with the file at the latest. Of a file whose
    length is not told only a range with both ends can be told to be the right one. What asks for
    several ranges, or for anything else, never gets it.

    Args:
        asked: the request's ``Range``.
        sent: the answer's ``Content-Range``.
    """
    wanted, part = _ASKED.fullmatch(asked.strip()), _SENT.fullmatch(sent.strip())
    if wanted is None or part is None:
        return None
    first, last = int(part[1]), int(part[2])
    end_of_file = math.inf if part[3] is None else int(part[3]) - 1
    if wanted[3] is not None:
        expected = max(0, end_of_file + 1 - int(wanted[3])), end_of_file
    else:
        to = math.inf if wanted[2] is None else int(wanted[2])
        expected = int(wanted[1]), min(to, end_of_file)
    return last - first + 1 if expected == (first, last) and first <= last else None
