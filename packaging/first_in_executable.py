"""What dist/supernode does before anything else: makes PyInstaller's two processes act as one.

The first process unpacks, starts us, waits, and removes what it has unpacked. It passes on every
signal it gets, so whatever a whole group gets, such as Ctrl-C, would reach us twice; and a second
one means not to finish what is under way. In a group of our own we get it from the first process
only. Should that one be killed, we end as well, rather than serve on without it. What a service
manager has for the process it started, sockets and a watchdog, is for us.
"""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
MEANT_FOR = ("LISTEN_PID", "WATCHDOG_PID")

if os.getpgrp() != os.getpid():  # else we run from what our parent has unpacked: see program.py
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for name in MEANT_FOR:
        if os.environ.get(name) == str(os.getppid()):
            os.environ[name] = str(os.getpid())
