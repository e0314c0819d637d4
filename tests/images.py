"""Images as bytes: layers, configs, manifests and indexes of every kind, each with its digest."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass(frozen=True)
class Content:
    """Some bytes that a registry keeps."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """What the registry knows them by."""
        return digest_of(self.data)

    def descriptor(self, **more: object) -> dict[str, object]:
        """Return what a manifest says of them."""
        return {
            "mediaType": self.media_type,
            "size": len(self.data),
            "digest": self.digest,
            **more,
        }


def digest_of(data: bytes) -> str:
    """Return the digest by which a registry knows ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(name: str, size: int = 1000, media_type: str = OCI_LAYER) -> Content:
    """Return random bytes, the same for the same name."""
    return Content(random.Random(name).randbytes(size), media_type)


def config(platform: str = "linux/amd64", media_type: str = OCI_CONFIG) -> Content:
    """Return the config of an image."""
    rootfs = {"type": "layers", "diff_ids": []}
    return Content(_json({**_platform(platform), "config": {}, "rootfs": rootfs}), media_type)


def one_file() -> tuple[Content, Content]:
    """Return config and layer of an image that is one in every respect: it has one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    layer = Content(gzip.compress(archive.getvalue(), mtime=0), OCI_LAYER)
    body = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(archive.getvalue())]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "tests"}],
    }
    return Content(_json(body), OCI_CONFIG), layer


def manifest(
    config: Content | None,
    layers: Sequence[Content | Mapping[str, object]],
    media_type: str = OCI_MANIFEST,
    **more: object,
) -> Content:
    """Return the manifest of one image or artefact; ``more`` may say other things, None nothing."""
    body = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config and config.descriptor(),
        "layers": list(map(_described, layers)),
        **more,
    }
    return Content(_json(_without_none(body)), media_type)


def index(
    entries: Mapping[str, Content] | Sequence[Content | Mapping[str, object]],
    media_type: str = OCI_INDEX,
    **more: object,
) -> Content:
    """Return an index, or a manifest list: of manifests by platform, or without platforms."""
    if isinstance(entries, Mapping):
        listed = [
            each.descriptor(platform=_platform(platform)) for platform, each in entries.items()
        ]
    else:
        listed = [dict(_described(each)) for each in entries]
    body = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed, **more}
    return Content(_json(_without_none(body)), media_type)


def _described(entry: Content | Mapping[str, object]) -> Mapping[str, object]:
    return entry.descriptor() if isinstance(entry, Content) else entry


def _platform(text: str) -> dict[str, str]:
    os, architecture, *variant = text.split("/")
    named = {"os": os, "architecture": architecture}
    return named | ({"variant": variant[0]} if variant else {})


def _without_none(body: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in body.items() if value is not None}


def _json(body: object) -> bytes:
    return json.dumps(body, indent=3).encode()
