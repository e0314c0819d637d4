"""The commands ``dfget`` and, started by it, ``dfget-uploader``. Flags are Dragonfly v1's."""

import logging
import logging.handlers
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import click
import trio

from supernode.dfget.authorities import read_authorities
from supernode.dfget.errors import MEANINGS, Exit
from supernode.dfget.options import (
    Digest,
    Node,
    Order,
    parse_digest,
    parse_duration,
    parse_files,
    parse_header,
    parse_ip,
    parse_nodes,
    parse_rate,
    parse_url,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])
LOG_BYTES = 1 << 20
_LOG_FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"


class _UsageError(click.UsageError):
    """A command line that makes no sense, with sysexits' exit code instead of click's 2."""

    exit_code = Exit.USAGE


class _Command(click.Command):
    """A command whose usage errors are ours."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        """Parse the arguments."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise _UsageError(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _UsageError(error.format_message(), ctx) from error
        except KeyboardInterrupt:  # click would exit with 1
            sys.exit(Exit.INTERRUPTED)


def _by(
    parse: Callable[[str], T],
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Return a click callback that parses an option's text."""

    def convert(_ctx: click.Context, _param: click.Parameter, text: str | None) -> T | None:
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return convert


def _headers(
    _ctx: click.Context, _param: click.Parameter, lines: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_header(line) for line in lines)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _authorities(
    _ctx: click.Context, _param: click.Parameter, lists: tuple[str, ...]
) -> tuple[str, ...]:
    try:
        return read_authorities(file for text in lists for file in parse_files(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _rate_option(name: str, *short: str, text: str) -> Callable[[F], F]:
    return click.option(
        *short, name, default="0", callback=_by(parse_rate), metavar="RATE", help=text
    )


def _duration_option(name: str, *short: str, default: str, text: str) -> Callable[[F], F]:
    return click.option(
        *short, name, default=default, callback=_by(parse_duration), metavar="DURATION", help=text
    )


_EPILOG = "\b\nExit status:\n" + "\n".join(f"  {code:3d}  {MEANINGS[code]}" for code in Exit)


@click.command("dfget", cls=_Command, epilog=_EPILOG)
@click.option(
    "-u", "--url", required=True, callback=_by(parse_url), metavar="URL", help="What to download."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to put it. [default: the last part of the URL]",
)
@click.option(
    "-n",
    "--node",
    "nodes",
    callback=_by(parse_nodes),
    default="127.0.0.1:8002",
    show_default=True,
    metavar="[https://]HOST[:PORT][=WEIGHT],…",
    help="Supernodes. One asked over https must have a certificate that this system's authorities,"
    " or those in the file SSL_CERT_FILE names, vouch for.",
)
@click.option(
    "--digest",
    callback=_by(parse_digest),
    metavar="md5:… | sha256:…",
    help="What the whole file must hash to.",
)
@click.option("-m", "--md5", help="The same as --digest md5:…; part of the task's identity.")
@click.option("-i", "--identifier", default="", help="Sets this download apart from others.")
@click.option(
    "-f",
    "--filter",
    "filters",
    default="",
    metavar="KEY&KEY…",
    help="Query parameters that do not matter for what the file is.",
)
@click.option(
    "--header",
    "headers",
    callback=_headers,
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Header for the origin. May be repeated.",
)
@click.option(
    "--cacerts",
    "root_cas",
    callback=_authorities,
    multiple=True,
    metavar="FILE,…",
    help="PEM files of authorities that vouch for the origin, besides the usual; they do not"
    " vouch for a supernode. May be repeated.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Do not verify the origin's certificate; a supernode's is verified all the same.",
)
@_rate_option(
    "--locallimit",
    "-s",
    text="Limit of this download, such as 20M, 64KB or 1048576 (bytes/s). [default: none]",
)
@_rate_option("--totallimit", text="Limit of all uploads from this home. [default: none]")
@_duration_option(
    "--timeout",
    "-e",
    default="0",
    text="Time for everything, such as 90s, 1m30s or 2h. [default: none]",
)
@click.option("--notbs", is_flag=True, help="Never fall back to the origin.")
@click.option("--callsystem", default="", help="Who is calling; the supernode may want to know.")
@click.option(
    "--dfdaemon", is_flag=True, help="A dfdaemon is calling; the supernode may want to know."
)
@click.option(
    "--ip",
    default="",
    callback=_by(parse_ip),
    metavar="ADDRESS",
    help="This machine's address for peers. [default: its own]",
)
@click.option(
    "--port",
    type=click.IntRange(15000, 65000),
    help="The uploader's port. [default: any free one]",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where data, logs and the uploader live. [default: ~/.small-dragonfly]",
)
@_duration_option(
    "--expiretime",
    default="3m",
    text="How long the file is shared after its last use. [default: 3m]",
)
@_duration_option(
    "--alivetime",
    default="5m",
    text="How long an idle uploader stays; 0s: share only while downloading. [default: 5m]",
)
@click.option("-b", "--showbar", is_flag=True, help="Show a bar even without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Show progress as JSON, one object a line.")
@click.option("--console", is_flag=True, help="Log to the console, not to HOME/logs/dfget.log.")
def command(
    url: str,
    output: Path | None,
    nodes: tuple[tuple[Node, int], ...],
    digest: Digest | None,
    md5: str | None,
    identifier: str,
    filters: str,
    headers: tuple[tuple[str, str], ...],
    root_cas: tuple[str, ...],
    insecure: bool,
    locallimit: int,
    totallimit: int,
    timeout: float,
    notbs: bool,
    callsystem: str,
    dfdaemon: bool,
    ip: str,
    port: int | None,
    home: Path | None,
    expiretime: float,
    alivetime: float,
    showbar: bool,
    as_json: bool,
    console: bool,
) -> None:
    """Download a file from the swarm, and share it while and after that.

    The output appears at once and whole, or not at all. A detached uploader, one for each home,
    goes on sharing.
    """
    order = Order(
        url=url,
        output=_checked_output(output, url),
        home=(home or Path.home() / ".small-dragonfly").absolute(),
        nodes=nodes,
        digest=_one_digest(digest, md5),
        identifier=identifier,
        filters=tuple(key for key in filters.split("&") if key),
        headers=headers,
        insecure=insecure,
        root_cas=root_cas,
        call_system=callsystem,
        dfdaemon=dfdaemon,
        local_limit=locallimit,
        total_limit=totallimit,
        timeout=timeout or math.inf,
        back_to_source=not notbs,
        ip=ip,
        port=port or 0,
        expire_time=expiretime,
        alive_time=alivetime,
    )
    from supernode.dfget.progress import face
    from supernode.dfget.run import Outcome, Run

    progress = face(as_json=as_json, show_bar=showbar, name=order.output.name)
    try:
        _log_to(None if console else order.home / "logs" / "dfget.log")
        outcome = trio.run(Run(order, progress).run)
    except KeyboardInterrupt:  # before or after Trio took care of signals
        outcome = Outcome(Exit.INTERRUPTED, MEANINGS[Exit.INTERRUPTED])
    except OSError as error:
        outcome = Outcome(Exit.CANNOT_WRITE, str(error))
    except Exception as error:
        log.exception("crashed")
        outcome = Outcome(Exit.FAILED, f"a defect, see the log: {error!r}")
    progress.end(outcome.exit, outcome.error, digest_ok=outcome.digest_ok)
    sys.exit(outcome.exit)


@click.command("dfget-uploader", hidden=True)
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--ip", default="")
@click.option("--port", type=click.IntRange(0, 65535), default=0)
def uploader_command(home: Path, ip: str, port: int) -> None:
    """Share the files of one home until there is no work; started by dfget."""
    from supernode.dfget.uploader import NoPort, UploaderSettings, run_uploader

    home = home.absolute()
    os.chdir("/")  # whoever started us may want to unmount where that was
    try:
        _log_to(home / "logs" / "uploader.log")
        trio.run(run_uploader, UploaderSettings(home=home, ip=ip, port=port))
    except (NoPort, OSError) as error:
        log.error("%s", error)
        sys.exit(Exit.CANNOT_WRITE if isinstance(error, OSError) else Exit.FAILED)
    except Exception:
        log.exception("crashed")
        sys.exit(Exit.FAILED)


def _checked_output(output: Path | None, url: str) -> Path:
    if output is None:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise click.BadParameter("the URL names no file", param_hint="--output")
        output = Path(name)
    output = output.absolute()
    if os.path.exists(output) and not os.path.isfile(output):  # unlike Path's, these never raise
        raise click.BadParameter(f"{output} is not a regular file", param_hint="--output")
    return output


def _one_digest(digest: Digest | None, md5: str | None) -> Digest | None:
    if md5 is None:
        return digest
    try:
        parsed = parse_digest(f"md5:{md5}")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--md5") from error
    if digest not in (None, parsed):
        raise click.UsageError("--md5 and --digest contradict each other")
    return parsed


def _log_to(path: Path | None) -> None:
    """Log to a file of bounded size, or to the console."""
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    ours = logging.getLogger("supernode.dfget")
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(logging.INFO)
