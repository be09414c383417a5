"""Tokens with chosen names and times."""

from hypothesis import strategies as st

from shellstream.security.authorization import Action, Grant
from shellstream.security.tokens import LAST_TIME, Token, TokenTable

NOW = 1_700_000_000_000_000


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True).filter(
    lambda text: not (len(text) == 8 and set(text) <= set("0123456789abcdef"))
)


HEX = "0123456789abcdef"


TIMES = st.integers(0, LAST_TIME)


GRANTS = st.builds(
    Grant,
    commands=st.lists(st.sampled_from(["*", "build*", "a.b?"]), min_size=1).map(tuple),
    actions=st.frozensets(st.sampled_from(list(Action)), min_size=1),
    own=st.booleans(),
)


TOKENS = st.builds(
    Token,
    id=st.text(HEX, min_size=8, max_size=8),
    name=NAMES.filter(lambda text: text.casefold() != "anonymous"),
    digest=st.text(HEX, min_size=64, max_size=64),
    grant=GRANTS,
    created=TIMES,
    expires=st.none() | TIMES,
)


def table(*tokens: Token) -> TokenTable:
    return {each.id: each for each in tokens}


def unrecorded(what: str, token: Token) -> None:
    """Accept a change without an audit."""
