"""The client towards registries."""

from collections.abc import Mapping

from supernode.registry.image import Image
from supernode.registry.platforms import ALL, Platforms
from supernode.registry.reference import Reference


class Registries:
    """Asks registries what images consist of, and proves who we are."""

    def parse(self, text: str) -> Reference:
        """Return the image that ``text`` names; see ``reference.parse``.

        Raises:
            BadReference: it names none. Nobody has been contacted.
        """
        raise NotImplementedError

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
            platforms: which of several are wanted.

        Raises:
            OriginError: why it cannot be told; ``may_pass`` says whether to ask again.
        """
        raise NotImplementedError

    async def headers_for(self, blob_url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers by which the registry gives the blob away, at this moment.

        These are the request's, or, if the registry refuses them, ours. For a URL that is no
        blob's they are the request's. Only for what was asked to be preheated: whoever else asks
        for a blob has to have credentials of their own.

        Args:
            blob_url: of the blob.
            headers: the request's.

        Raises:
            OriginError: the registry cannot be asked, or nobody's credentials are good enough.
        """
        raise NotImplementedError
