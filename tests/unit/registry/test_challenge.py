"""Challenges as registries write them, and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.registry.challenge import MOST_PARAMETERS, Challenge, parse

HARBOR = (
    'Bearer realm="https://harbor.test/service/token",service="harbor-registry",'
    'scope="repository:library/app:pull,push"'
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a, b"'], [("basic", {"realm": "a, b"})]),
        (['bASIC REALM = "a"'], [("basic", {"realm": "a"})]),
        ([r'Basic realm="say \"a\", or \\"'], [("basic", {"realm": r'say "a", or \ '[:-1]})]),
        (["Basic realm=a"], [("basic", {"realm": "a"})]),
        (['Basic realm=""'], [("basic", {"realm": ""})]),
        (['Basic realm="a", realm="b"'], [("basic", {"realm": "a"})]),
        (['Basic realm="a",Bearer realm="b",service="c"'],
         [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "service": "c"})]),
        (['Basic realm="a"', 'Bearer realm="b"'],
         [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (['Negotiate, NTLM , Basic realm="a"'],
         [("negotiate", {}), ("ntlm", {}), ("basic", {"realm": "a"})]),
        (['Negotiate YWJj/+8, Basic realm="a"'], [("negotiate", {}), ("basic", {"realm": "a"})]),
        ([',, Basic realm="a" ,,'], [("basic", {"realm": "a"})]),
        (["Bearer realm=https://a/b?c,service=d"],
         [("bearer", {"realm": "https://a/b?c", "service": "d"})]),
        (['Digest a=1, b="2"\t,c = 3'], [("digest", {"a": "1", "b": "2", "c": "3"})]),
        # What cannot be read takes only its own challenge with it.
        (['Basic realm="a", Bearer realm="b'], [("basic", {"realm": "a"})]),
        (['Bearer realm="b', 'Basic realm="a"'], [("basic", {"realm": "a"})]),
        (['realm="a"'], []),
        (['Bearer realm="a"service="b"'], []),
    ],
)  # fmt: skip
def test_what_a_registry_wants_to_see(headers: list[str], expected: list[object]) -> None:
    assert list(map(tuple, parse(headers))) == expected


def test_as_harbor_has_it() -> None:
    (found,) = parse([HARBOR])
    assert found.scheme == "bearer"
    assert found.parameters == {
        "realm": "https://harbor.test/service/token",
        "service": "harbor-registry",
        "scope": "repository:library/app:pull,push",
    }


_tokens = st.text("abcXYZ019-_.", min_size=1)
_values = st.text(st.characters(codec="latin-1", exclude_characters="\0"))
_challenges = st.lists(
    st.builds(Challenge, _tokens.map(str.lower), st.dictionaries(_tokens.map(str.lower), _values)),
)


@given(_challenges)
def test_what_was_written_is_read(challenges: list[Challenge]) -> None:
    def quoted(value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    parts = []
    for scheme, parameters in challenges:
        said = ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        parts.append(f"{scheme} {said}".strip())
    assert parse([", ".join(parts)]) == challenges
    assert parse(parts) == challenges


@given(st.lists(st.text() | st.text('Basic realm="=, \\')))
def test_no_header_is_too_odd(headers: list[str]) -> None:
    for scheme, parameters in parse(headers):
        assert scheme == scheme.lower()
        assert all(name == name.lower() for name in parameters)


def test_what_is_kept_of_a_challenge_is_bounded() -> None:
    (found,) = parse(["Bearer " + ",".join(f"p{n}=1" for n in range(10_000))])
    assert len(found.parameters) == MOST_PARAMETERS
