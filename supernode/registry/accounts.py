"""Who we are to registries, as far as the configuration says. Files are read at each use."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from supernode.origin.sites import read


@dataclass(frozen=True, slots=True)
class Account:
    """What proves who somebody is.

    Args:
        username: and …
        password: … the password, or else …
        identity_token: … what a token service gave for good.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of the header Authorization that has user and password."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"

    @classmethod
    def of_header(cls, authorization: str) -> "Account | None":
        """Return whose header Authorization this is, if it has user and password."""
        scheme, _, value = authorization.strip().partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            username, colon, password = (
                base64.b64decode(value, validate=True).decode().partition(":")
            )
        except ValueError:
            return None
        return cls(username, password) if colon else None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRegistry:
    """What is configured for one registry, besides how it and we prove to be ourselves in TLS.

    Args:
        username: "": none.
        password: of the user; None: it is in ``password_file``, if there is a user.
        password_file: its content, but for the end of the line.
        identity_token: instead of a user; None: it is in ``identity_token_file``, if anywhere.
        identity_token_file: its content, likewise.
        plain_http: whether it is spoken to without TLS.
    """

    username: str = ""
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    identity_token: str | None = field(default=None, repr=False)
    identity_token_file: Path | None = None
    plain_http: bool = False

    async def account(self) -> Account | None:
        """Return who we are; None: nobody.

        Raises:
            OriginError: SETTING_UNUSABLE.
        """
        token = await _secret(self.identity_token, self.identity_token_file)
        if token is not None:
            return Account(identity_token=token)
        if not self.username:
            return None
        password = await _secret(self.password, self.password_file)
        return Account(self.username, password or "")


async def _secret(text: str | None, file: Path | None) -> str | None:
    if text is not None or file is None:
        return text
    return (await trio.to_thread.run_sync(read, file)).rstrip("\r\n")


def authorization_of(headers: Mapping[str, str]) -> str:
    """Return the value of the header Authorization, however it is spelled; "" if there is none."""
    return next((value for name, value in headers.items() if name.lower() == "authorization"), "")


def authorized(headers: Mapping[str, str], authorization: str) -> dict[str, str]:
    """Return the headers with another Authorization; "" for none."""
    others = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return others | ({"Authorization": authorization} if authorization else {})
