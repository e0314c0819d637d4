"""Logs: readable on a terminal, otherwise one JSON object per line on stderr."""

import logging
import re
import sys

import structlog

_COMMANDS = re.compile(r"[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing it: control characters, also those of direction."""


def set_up(level: str) -> None:
    """Send everything that is logged at ``level`` or above, by any library, to stderr."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="ts"),
    ]
    # Not the fancy tracebacks: they show local variables, and so secrets.
    last: list[structlog.types.Processor] = [structlog.processors.format_exc_info]
    if sys.stderr.isatty():
        plain = structlog.dev.plain_traceback
        last += [_harmless, structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    else:
        last += [structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # what is below the level costs nothing
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("httpcore2").setLevel(logging.WARNING)  # it logs headers, and so secrets


def _harmless(
    _logger: structlog.types.WrappedLogger, _method: str, line: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Write out what a terminal would obey: much of what is logged was said by clients."""
    for name, value in line.items():
        if name == "exception":
            line[name] = "\n".join(map(_written_out, value.splitlines()))
        elif isinstance(value, str):  # anything else is shown by its repr, which is harmless
            line[name] = _written_out(value)
    return line


def _written_out(text: str) -> str:
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
