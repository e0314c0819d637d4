"""The client towards registries: what images consist of, and which headers open their blobs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import trio

from supernode.core.reasons import Reason
from supernode.origin.document import Document
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.url import checked_url, service_of
from supernode.registry import reference as references
from supernode.registry.accounts import KnownRegistry
from supernode.registry.admission import REFUSALS, Admission
from supernode.registry.complaint import complaint
from supernode.registry.gathering import Gathering
from supernode.registry.image import Image
from supernode.registry.manifest import ACCEPTED, BadManifest, Manifest, digest_of, read
from supernode.registry.platforms import ALL, Platforms
from supernode.registry.reference import Reference, Repository, registry_url, repository_of
from supernode.registry.tokens import Tokens

MOST_MANIFEST = 4 << 20
"""Bytes of one manifest; registries take none that is larger."""
MOST_DEPTH = 4
"""How many indexes may be within each other."""
IMAGE_SECONDS = 300.0
"""How long it may take to read every manifest of an image …"""
ADMISSION_SECONDS = 60.0
"""… and to be admitted to a blob."""

_NOT_FOUND = 404
_SHOWN_PLATFORMS = 16
_UNKNOWN = KnownRegistry()


class Registries:
    """Asks registries what images consist of, and proves who we are.

    Args:
        origin: by which they are asked. One of their own: they are not to wait for a connection
            that large files have taken.
        known: what is configured, by ``host[:port]`` as in the short name of an image.
    """

    def __init__(self, origin: OriginClient, known: Mapping[str, KnownRegistry]) -> None:
        self._origin = origin
        self._known = {
            service_of(checked_url(registry_url(name, plain_http=each.plain_http))): each
            for name, each in known.items()
        }
        self._plain_http = {name.lower() for name, each in known.items() if each.plain_http}
        self._tokens = Tokens(origin)

    def parse(self, text: str) -> Reference:
        """Return the image that ``text`` names; see ``reference.parse``.

        Raises:
            BadReference: it names none. Nobody has been contacted.
        """
        return references.parse(text, self._plain_http)

    async def image(
        self,
        reference: Reference,
        *,
        headers: Mapping[str, str],
        platforms: Platforms = ALL,
    ) -> Image:
        """Return what the image consists of.

        Args:
            reference: which one.
            headers: the request's; they are tried first.
            platforms: which of an index are wanted. What is no index is for whom it is for.

        Raises:
            OriginError: why it cannot be told; ``may_pass`` says whether to ask again.
        """
        with _deadline(IMAGE_SECONDS, reference.manifest_url):
            return await self._image(reference, headers, platforms)

    async def headers_for(self, blob_url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers by which the registry gives the blob away, as it has just told.

        These are the request's, or, if the registry refuses them, ours. For a URL that is no
        blob's they are the request's. Only for what was asked to be preheated: whoever else asks
        for a blob has to have credentials of their own.

        Args:
            blob_url: of the blob.
            headers: the request's.

        Raises:
            OriginError: the registry cannot be asked, or admits neither the caller nor us.
        """
        repository = repository_of(blob_url)
        if repository is None:
            return dict(headers)
        admission = self._admission(repository, headers)
        with _deadline(ADMISSION_SECONDS, service_of(checked_url(repository.base))):
            await admission.ask(partial(self._origin.head, blob_url))
            return await admission.headers()

    def _admission(self, repository: Repository, headers: Mapping[str, str]) -> Admission:
        url = checked_url(repository.base)
        known = self._known.get(service_of(url), _UNKNOWN)
        if url.scheme == "http" and not known.plain_http:
            known = _UNKNOWN  # what we prove is not for everybody on the way
        return Admission(self._tokens, known, repository, headers)

    async def _image(
        self, reference: Reference, headers: Mapping[str, str], platforms: Platforms
    ) -> Image:
        admission = self._admission(Repository(reference.base, reference.name), headers)
        gathering = Gathering(reference)
        root = await self._manifest(admission, reference, reference.digest, ())
        gathering.add(root.manifest, "", root.size)
        indexes = [root]
        offered: set[str] = set()
        while indexes:
            index = indexes.pop()
            if len(index.path) > MOST_DEPTH:
                problem = f"{reference.manifest_url}: more than {MOST_DEPTH} indexes in each other"
                raise OriginError(Reason.ORIGIN_MANIFEST, problem)
            for entry in index.manifest.manifests:
                platform = str(entry.platform or "")
                if len(offered) < _SHOWN_PLATFORMS:
                    offered.add(platform)
                if entry.digest in gathering or not platforms.want(entry.platform):
                    continue
                found = await self._manifest(admission, reference, entry.digest, index.path)
                gathering.add(found.manifest, platform, found.size)
                if found.manifest.manifests:
                    indexes.append(found)
        image = gathering.image()
        if not image.blobs and not image.skipped:
            raise _nothing_for(platforms, offered, reference.manifest_url)
        return image

    async def _manifest(
        self, admission: Admission, reference: Reference, digest: str, path: tuple[str, ...]
    ) -> "_Found":
        """Return a manifest, verified.

        Args:
            admission: by which it is asked for.
            reference: which image it is of.
            digest: its own; "": the one that the tag leads to.
            path: the digests of the indexes that it is in.
        """
        url = reference.manifest_url_of(digest or reference.tag)

        async def send(headers: Mapping[str, str]) -> Document:
            others = {name: value for name, value in headers.items() if name.lower() != "accept"}
            return await self._origin.document(
                url,
                {**others, "Accept": ", ".join(ACCEPTED)},
                most=MOST_MANIFEST,
                also=(*REFUSALS, _NOT_FOUND),
            )

        document = await admission.ask(send)
        if document.status == _NOT_FOUND:
            problem = f"{_NOT_FOUND} from {document.place}{complaint(document.content)}"
            raise OriginError(Reason.ORIGIN_NOT_FOUND, problem)
        manifest = await trio.to_thread.run_sync(_verified, document, digest, path)
        return _Found(manifest, len(document.content), (*path, manifest.digest))


class _Found(NamedTuple):
    manifest: Manifest
    size: int
    path: tuple[str, ...]
    """The digests of the indexes that it is in, and its own."""


@contextmanager
def _deadline(seconds: float, place: str) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        problem = f"{place}: not done within {seconds:g} s"
        raise OriginError(Reason.ORIGIN_TIMEOUT, problem, may_pass=True) from None


def _verified(document: Document, digest: str, path: Sequence[str]) -> Manifest:
    """Return the manifest if it is the one that was asked for. Blocks: for a thread.

    Raises:
        OriginError: DIGEST_MISMATCH, ORIGIN_MANIFEST.
    """
    right = {digest_of(document.content)}
    manifest: Manifest | BadManifest
    try:
        manifest = read(document.content, document.headers.get("Content-Type", ""))
        right.add(manifest.digest)
    except BadManifest as error:
        manifest = error
    if digest and digest not in right:
        again = right.intersection(path)
        if again:
            problem = f"{document.place}: it is the index that it is in, {again.pop()}"
            raise OriginError(Reason.ORIGIN_MANIFEST, problem)
        problem = f"{document.place}: what came has the digest {digest_of(document.content)}"
        raise OriginError(Reason.DIGEST_MISMATCH, problem)
    said = document.headers.get("Docker-Content-Digest", "").strip()
    if said.startswith("sha256:") and said not in right:
        problem = f"{document.place}: {said[:80]} was said, and {right.pop()} came"
        raise OriginError(Reason.DIGEST_MISMATCH, problem)
    if isinstance(manifest, BadManifest):
        raise OriginError(Reason.ORIGIN_MANIFEST, f"{document.place}: {manifest}")
    return manifest


def _nothing_for(platforms: Platforms, offered: Collection[str], url: str) -> OriginError:
    others = ", ".join(sorted(filter(None, offered)))
    problem = f"{url}: nothing for {platforms}, only for {others}"
    return OriginError(Reason.ORIGIN_NOT_FOUND, problem)
