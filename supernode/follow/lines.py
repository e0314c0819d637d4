"""Events as lines that people read: when, what, about what; coloured by what became of it."""

from datetime import datetime
from typing import Any

from rich.text import Text

from supernode.printable import printable

_STYLES = {
    "failed": "red",
    "quarantined": "red",
    "lost": "red",
    "filled": "red",
    "fell_behind": "red",
    "rejected": "red",
    "removed": "yellow",
    "expired": "yellow",
    "fell_overdue": "yellow",
    "fell_silent": "yellow",
    "warned": "yellow",
    "accused": "yellow",
    "left": "yellow",
    "finished": "green",
    "cached": "green",
    "cleared": "green",
    "registered": "cyan",
    "started": "cyan",
}
_GAP_STYLE = "bold yellow"
_SHORT = 12
_SHORTENED = ("task", "preheat")
_TYPE_WIDTH = 21


def line(message: dict[str, Any]) -> Text:
    """Return a message as one line."""
    if message["type"] == "gap":
        return Text(f"events {message['from']} to {message['to']} are not known", _GAP_STYLE)
    fields = dict(message)
    kind, seq, time = fields.pop("type"), fields.pop("seq"), fields.pop("time")
    style = _STYLES.get(kind.partition(".")[2], "")
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(_clock(time), "dim")
    text.append(f" {seq:>8} ", "dim")
    text.append(f"{kind:<{_TYPE_WIDTH}}", style)
    if "holder" in fields:
        fields["from"] = fields.pop("holder")
    for name, value in fields.items():
        if value != "":
            text.append(f" {name} ", "dim")
            text.append(_shown(name, value))
    return text


def _clock(time: str) -> str:
    """Return a moment as the reader's clock shows it."""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _shown(name: str, value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, bool):
        text = "yes" if value else "no"
    text = printable(text)
    return text[:_SHORT] + "…" if name in _SHORTENED and len(text) > _SHORT else text
