"""Every reason why something did not work out: its code, what it means, who can act.

The one list. Answers, events, logs and the README's fault table all draw on it.
"""

from enum import Enum


class Actor(Enum):
    """Who can do something about it."""

    ORIGIN = "origin"
    CLIENT = "client"
    OPERATOR = "operator"
    NOBODY = "nobody"


class Reason(Enum):
    """Why a task, a download or a lease ended without success."""

    # The origin did not deliver.
    ORIGIN_DNS = ("origin_dns", "the origin's name does not resolve", Actor.ORIGIN)
    ORIGIN_REFUSED = ("origin_refused", "the origin refused the connection", Actor.ORIGIN)
    ORIGIN_TLS = ("origin_tls", "no TLS session with the origin could be agreed on", Actor.ORIGIN)
    ORIGIN_TIMEOUT = ("origin_timeout", "the origin did not answer in time", Actor.ORIGIN)
    ORIGIN_STALLED = ("origin_stalled", "the origin stopped sending", Actor.ORIGIN)
    ORIGIN_BROKEN = ("origin_broken", "the origin broke the connection off", Actor.ORIGIN)
    ORIGIN_AUTH = ("origin_auth", "the origin wants other credentials", Actor.CLIENT)
    ORIGIN_NOT_FOUND = ("origin_not_found", "the origin has no such file", Actor.CLIENT)
    ORIGIN_STATUS = ("origin_status", "the origin answered with an error", Actor.ORIGIN)
    ORIGIN_REDIRECTS = ("origin_redirects", "the origin redirects without end", Actor.ORIGIN)
    ORIGIN_ENCODING = ("origin_encoding", "the origin insists on a content encoding", Actor.ORIGIN)
    ORIGIN_LENGTH = ("origin_length", "the origin sent another length than it said", Actor.ORIGIN)
    ORIGIN_CHANGED = (
        "origin_changed",
        "the origin's file changed while it was fetched; ask again to have it fetched anew",
        Actor.CLIENT,
    )
    ORIGIN_TOO_LONG = (
        "origin_too_long",
        "the origin's answer is longer than such an answer may be",
        Actor.ORIGIN,
    )
    ORIGIN_MANIFEST = (
        "origin_manifest",
        "the registry sent no manifest that can be followed",
        Actor.ORIGIN,
    )
    # Something else failed.
    URL_FORBIDDEN = ("url_forbidden", "the policy forbids to contact this origin", Actor.OPERATOR)
    URL_INVALID = ("url_invalid", "the URL cannot be fetched", Actor.CLIENT)
    TASK_CONFLICT = (
        "task_conflict",
        "a file that is not the same is known under the same ID",
        Actor.CLIENT,
    )
    DIGEST_MISMATCH = (
        "digest_mismatch",
        "the file has another digest than asked for",
        Actor.CLIENT,
    )
    IMAGE_TOO_LARGE = (
        "image_too_large",
        "the image has more parts than the supernode takes",
        Actor.CLIENT,
    )
    SETTING_UNUSABLE = (
        "setting_unusable",
        "a file that the supernode's configuration names cannot be used",
        Actor.OPERATOR,
    )
    DISK_FULL = ("disk_full", "the supernode's disk is full", Actor.OPERATOR)
    DISK_ERROR = ("disk_error", "the supernode's disk failed", Actor.OPERATOR)
    PROXY_REFUSED = (
        "proxy_refused",
        "the proxy on the way to the origin refused",
        Actor.OPERATOR,
    )
    TOO_MANY_FETCHES = (
        "too_many_fetches",
        "the supernode's limit of connections left none for this origin",
        Actor.OPERATOR,
    )
    NO_DESCRIPTORS = (
        "no_descriptors",
        "the supernode may not open more files; raise its limit",
        Actor.OPERATOR,
    )
    INTERNAL = ("internal", "the supernode has a defect; its log says more", Actor.OPERATOR)
    CACHE_DAMAGED = (
        "cache_damaged",
        "the supernode's copy was damaged; ask again to have it fetched anew",
        Actor.CLIENT,
    )
    # Why something is there no longer.
    TASK_DELETED = ("task_deleted", "an operator deleted the task", Actor.OPERATOR)
    TASK_EVICTED = (
        "task_evicted",
        "the supernode needed the room; ask again to have it fetched anew",
        Actor.CLIENT,
    )
    TASK_EXPIRED = ("task_expired", "the task failed, and nobody asked again", Actor.CLIENT)
    TASK_UNWANTED = ("task_unwanted", "nobody has waited for the file for long", Actor.CLIENT)
    PREHEAT_DELETED = ("preheat_deleted", "its preheat was deleted", Actor.OPERATOR)
    # Why a lease or a download ended.
    CLIENT_LEFT = (
        "client_left",
        "the client ended the download before it had every piece",
        Actor.CLIENT,
    )
    CLIENT_RESTARTED = ("client_restarted", "the client began anew", Actor.CLIENT)
    FAILED_EARLIER = (
        "failed_earlier",
        "the client failed with an earlier holder and knows nothing of this one",
        Actor.NOBODY,
    )
    CLIENT_SILENT = ("client_silent", "nothing was heard of the client for long", Actor.CLIENT)
    CLIENT_HAS_IT = ("client_has_it", "the client has the piece already", Actor.NOBODY)
    PEER_SILENT = ("peer_silent", "nothing was heard of the peer for long", Actor.NOBODY)
    PEER_LEFT = ("peer_left", "the peer left", Actor.NOBODY)
    PEER_WRONG = ("peer_wrong", "the peer does not have what it offers", Actor.NOBODY)
    TASK_FAILED = ("task_failed", "the task failed", Actor.NOBODY)

    def __init__(self, code: str, text: str, actor: Actor) -> None:
        self.code = code
        self.text = text
        self.actor = actor

    @property
    def is_origins_fault(self) -> bool:
        """Tell whether the origin did not deliver: ``SOURCE_ERROR`` rather than ``FAILED``."""
        return self.code.startswith("origin_")
