"""Requests of all kinds to a live daemon, made by schemathesis from the document it publishes."""

import ipaddress
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.neighbours import Origin, daemon

SEED = 1
EXAMPLES = 100
"""At most so many random requests of an operation, besides the systematic ones."""
LIMIT_SECONDS = 240
KIB = 1024

CONFIGURATION = """
# The specification does not say that a URL is a URL, and says of everything that it is optional:
# what fits the document may be a bad request nevertheless.
[checks.positive_data_acceptance]
enabled = false

# What is not found may be the peer or the client that a request names, though the task is there.
[checks.ensure_resource_availability]
enabled = false

# 413 and 431: it is too large to see what else is wrong with it.
[checks.negative_data_rejection]
expected-statuses = [400, 403, 404, 405, 409, 413, 426, 431]
"""

LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")
ELSEWHERE = [*ipaddress.IPv4Network("0.0.0.0/0").address_exclude(LOOPBACK), "::/0"]


def test_any_request_is_answered_as_documented(tmp_path: Path, origin: Origin) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    nowhere_else = [f"--deny-origin={network}" for network in ELSEWHERE]
    with daemon(tmp_path / "supernode", *nowhere_else) as supernode:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                *("--seed", str(SEED), "--max-examples", str(EXAMPLES)),
                *("--generation-database", "none", "--continue-on-failure"),
                *("--request-timeout", "10", "--warnings", "off", "--no-color"),
                *("--exclude-path", "/events"),  # its answer has no end
                f"http://{supernode.node}/openapi.json",
            ],
            cwd=tmp_path,
            env=os.environ
            | {
                "PYTHONPATH": str(root),
                "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks",
                "ORIGIN_FILE": origin.file("any", KIB),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        assert run.returncode == 0, run.stdout
        assert "No test cases were generated" not in run.stdout
        assert supernode.stop() == 0
