from pathlib import Path

import pytest
import trustme

from supernode.dfget import authorities
from supernode.dfget.authorities import read_authorities


def test_only_certificates_leave_a_file(tmp_path: Path) -> None:
    one, other = trustme.CA(), trustme.CA()
    key = one.private_key_pem.bytes()
    one_pem, other_pem = one.cert_pem.bytes(), other.cert_pem.bytes()
    (tmp_path / "a").write_bytes("# Jürgen\r\n".encode() + key + one_pem.replace(b"\n", b"\r\n"))
    (tmp_path / "b").write_bytes(one_pem + b"\xff" + other_pem)
    assert read_authorities([tmp_path / "a"]) == (one_pem.decode(),)
    assert read_authorities([tmp_path / "b"]) == (one_pem.decode(), other_pem.decode())
    (tmp_path / "c").write_bytes(one_pem)
    assert read_authorities([tmp_path / "a", tmp_path / "c"]) == (one_pem.decode(),)
    assert len(read_authorities([tmp_path / "a", tmp_path / "b"])) == 2
    assert read_authorities([]) == ()


def test_more_than_a_supernode_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pems = [trustme.CA().cert_pem.bytes().decode() for _ in range(3)]
    (tmp_path / "bundle").write_text("\n".join(pems))
    monkeypatch.setattr(authorities, "MOST_CERTIFICATES", 3)
    monkeypatch.setattr(authorities, "MOST_BYTES", sum(map(len, pems)))
    assert read_authorities([tmp_path / "bundle"]) == tuple(pems)
    monkeypatch.setattr(authorities, "MOST_CERTIFICATES", 2)
    with pytest.raises(ValueError, match="more than 2 certificates"):
        read_authorities([tmp_path / "bundle"])
    monkeypatch.setattr(authorities, "MOST_CERTIFICATES", 3)
    monkeypatch.setattr(authorities, "MOST_BYTES", sum(map(len, pems)) - 1)
    with pytest.raises(ValueError, match=r"more than 3 certificates or .* KiB"):
        read_authorities([tmp_path / "bundle"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no certificate"),
        (trustme.CA().private_key_pem.bytes(), "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_a_file_without_certificates_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    good = tmp_path / "good.pem"
    trustme.CA().cert_pem.write_to_path(str(good))
    bad = tmp_path / "bad.pem"
    bad.write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.pem holds .*{problem}"):
        read_authorities([good, bad])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.pem: No such file"):
        read_authorities([tmp_path / "none.pem"])
    with pytest.raises(ValueError, match="Is a directory"):
        read_authorities([tmp_path])
