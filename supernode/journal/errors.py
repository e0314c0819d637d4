"""What can be wrong with a journal."""


class JournalError(Exception):
    """The journal cannot be read or written; what is written down may be lost or old."""


class JournalDamaged(JournalError):
    """What is in the file is no journal, or not a whole one."""


class JournalTooNew(JournalError):
    """A newer supernode has written it; this one would lose what it does not understand."""
