"""All checks that a configuration calls for."""

from functools import partial

import trio

from supernode.config.settings import Config
from supernode.doctor import contacts, machine, network
from supernode.doctor.finding import Check, Finding, broken

MOST_SECONDS = 60.0
"""For one check."""


def checks(config: Config) -> list[Check]:
    """Return what to look at."""
    registries = [
        Check(f"registry {name}", partial(contacts.registry, config, name))
        for name in config.registries
    ]
    return [
        Check("control port", partial(network.control_port, config)),
        Check("data port", partial(network.data_port, config)),
        Check("advertised address", partial(network.advertised, config)),
        Check("state directory", partial(machine.state_directory, config)),
        Check("disk", partial(machine.disk, config)),
        Check("open files", partial(machine.open_files, config)),
        Check("clock", partial(machine.clock, config)),
        Check("proxy", partial(contacts.proxy, config)),
        *registries,
    ]


async def examined(check: Check) -> Finding:
    """Return what a check finds, in bounded time."""
    with trio.move_on_after(MOST_SECONDS):
        return await check.look()
    return broken(f"nothing is known after {MOST_SECONDS:.0f} s", "see what this machine waits for")
