import tomllib

from hypothesis import given
from hypothesis import strategies as st

from supernode.config.toml_lines import lines_of

TEXT = '''\
# port = 1
top.dotted = 1

[ http ]  # port = 2
hosts = [
  "a",  # port = 3
  """
port = 4
""",
]

"port" = 5
inline = { port = 6 }
[[tables]]
x = 1
'''


def test_every_key_has_the_line_on_which_it_begins() -> None:
    assert lines_of(TEXT) == {
        ("top",): 2,
        ("top", "dotted"): 2,
        ("http",): 4,
        ("http", "hosts"): 5,
        ("http", "port"): 12,
        ("http", "inline"): 13,
        ("http", "inline", "port"): 13,
        ("tables",): 14,
    }


def test_lines_may_end_as_on_windows_and_the_last_without_an_end() -> None:
    assert lines_of("[a]\r\n\r\nb = [\r\n1]\r\nc = 1") == {("a",): 1, ("a", "b"): 3, ("a", "c"): 5}


STATEMENTS = st.sampled_from(
    ["", "# k{n} = 1", "k{n} = 1", "k{n} = [\n1,\n\n2]", "k{n} = '''\nk0 = 1\n'''", "\t[t{n}]"]
)


@given(st.lists(STATEMENTS))
def test_nothing_that_is_set_is_without_its_line(statements: list[str]) -> None:
    text = "\n".join(statement.format(n=n) for n, statement in enumerate(statements, 1))
    lines = text.split("\n")
    found = lines_of(text)

    def visit(table: dict[str, object], *path: str) -> None:
        for key, value in table.items():
            assert key in lines[found[*path, key] - 1]
            if isinstance(value, dict):
                visit(value, *path, key)

    visit(tomllib.loads(text))
