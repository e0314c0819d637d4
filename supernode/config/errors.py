"""What may be wrong with a configuration."""

EXIT_STATUS = 78
"""Of a command that ends for one of these: EX_CONFIG of sysexits.h."""


class ConfigError(Exception):
    """A setting cannot be used. The message names it, and where it was set."""


class Unusable(Exception):
    """Values that are well-formed cannot be used, on this machine or together.

    Args:
        problem: what is wrong.
        settings: whose values these are, such as ``disk.low``.
    """

    def __init__(self, problem: str, *settings: str) -> None:
        super().__init__(problem)
        self.settings = settings
