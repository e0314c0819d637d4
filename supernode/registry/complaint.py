"""What a registry says is wrong, in an answer's body. Pure."""

import re

import msgspec

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_SHOWN = 3


class _Error(msgspec.Struct):
    code: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def complaint(content: bytes) -> str:
    """Return the codes of the errors, as what follows a status; "" if there are none.

    Only the codes: a message could say anything.

    Args:
        content: of an answer that is none of success.
    """
    try:
        said = msgspec.json.decode(content, type=_Errors)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    codes = [each.code for each in said.errors if _CODE.fullmatch(each.code)]
    return f" ({', '.join(codes[:_SHOWN])})" if codes else ""
