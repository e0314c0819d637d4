"""Text from elsewhere, made harmless to a terminal."""


def printable(text: str) -> str:
    """Return the text with a mark for each sign that a terminal would obey instead of showing."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
