"""What can be configured, and where from: defaults < file < environment < flags.

``settings`` defines every setting, once: its type with its unit, its default, what it is for, its
flag. Everything else is derived from there: how a file, the environment and flags are read
(``sources``, ``options``), what ``check-config`` prints (``report``), and the errors, which name
the setting and the place that set it.
"""
