"""
How many ways a regular expression may try on a text that a client chooses.

Python's C{re} goes back and tries another way wherever it could have read a text
differently. With C{([a-z]+)*[0-9]} the ways double with each letter: 40 letters take
longer than anybody waits, and no other thread runs meanwhile. An engine without this
fault, google-re2, has no wheels for a 32-bit Raspberry Pi. So a pattern is looked at
when the configuration is read, and refused if it could take long.

The pattern becomes an automaton whose states are the characters in it (Glushkov's),
and whose edges are counted: two ways from one character to the next are two. A text is
read by all ways at once; how many there are at each character is what C{re} may try.
All texts are read, class of characters by class, until nothing new comes up, the
longest text is reached, or there are too many ways. So the answer errs only on the safe
side: a pattern that passes takes time in proportion to the text, times a small number.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from attrs import define, field, frozen

# What re itself uses: its only public product is an engine. The names have been these
# since Python 3.11; a test would fail if they changed.
_parser: Any = import_module("re._parser")
_compiler: Any = import_module("re._compiler")
_constants: Any = import_module("re._constants")

#: How many steps a match may take: some 10 ms.
MAX_STEPS = 400_000

#: How many characters a pattern may have with its repeats written out, and how many
#: sets of ways are looked at: some 0.3 s.
MAX_POSITIONS, MAX_SETS = 1000, 3000

#: A bounded repeat that is longer than this counts as one without a bound.
_WRITTEN_OUT = 100

#: The characters by which classes are told apart, beside those that a pattern names:
#: letters, digits, spaces and signs of several scripts.
_ALPHABET = "".join(map(chr, (*range(0x700), *range(0x2000, 0x2030))))

#: Of a range in a pattern so many characters are looked at.
_MAX_RANGE = 5000

_POSSESSIVE = _constants.POSSESSIVE_REPEAT
_REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _POSSESSIVE}
_SINGLE = {_constants.IN, _constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY}
_LOOKS = {_constants.ASSERT, _constants.ASSERT_NOT}


class TooManyWays(Exception):
    """A pattern could take long; the text says what of it."""


def check_ways(pattern: re.Pattern[str], longest: int) -> None:
    """
    Check that a pattern matches every text in a short time.

    @param longest: the length of the longest text, in characters.
    @raise TooManyWays: if some text may take more than L{MAX_STEPS} steps.
    """
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    automaton = _Automaton(_classes(parsed, pattern.flags), longest)
    automaton.check(automaton.sequence(parsed, pattern.flags))


@frozen
class _Part:
    """
    A part of a pattern.

    @ivar first: with which characters it begins, and in how many ways each.
    @ivar last: with which it ends, each with the classes that cannot follow.
    @ivar empty: in how many ways it matches nothing.
    """

    first: Mapping[int, int]
    last: Mapping[tuple[int, int], int]
    empty: int


_NOTHING = _Part({}, {}, 1)


@define
class _Automaton:
    """
    The characters of a pattern, and which may follow each.

    @ivar masks: of each character in the pattern the set of classes that it matches,
        as bits.
    @ivar follows: the edges, each with a set of classes.
    """

    classes: Mapping[object, int]
    longest: int
    masks: list[int] = field(factory=list, init=False)
    follows: list[Counter[tuple[int, int]]] = field(factory=list, init=False)

    def sequence(self, items: Iterable[tuple[Any, Any]], flags: int) -> _Part:
        found = _NOTHING
        for op, value in items:
            found = self._then(found, self._part(op, value, flags))
        return found

    def _part(self, op: Any, value: Any, flags: int) -> _Part:
        if op in _SINGLE:
            return self._character(self.classes[_key(op, value, flags)])
        if op in _REPEATS:
            return self._repeat(flags, *value, possessive=op is _POSSESSIVE)
        if op is _constants.SUBPATTERN:
            _, more, less, items = value
            return self.sequence(items, (flags | more) & ~less)
        if op is _constants.BRANCH:
            return _either([self.sequence(each, flags) for each in value[1]])
        if op is _constants.ATOMIC_GROUP:
            # To commit to one way leaves out others; only here is it known which.
            if len(value) == 1 and value[0][0] is _constants.MAX_REPEAT:
                return self._repeat(flags, *value[0][1], possessive=True)
            return self.sequence(value, flags)
        if op is _constants.AT:
            return _NOTHING
        if op in _LOOKS:
            return self._look(value[1], flags)
        raise TooManyWays("it refers to a group")

    def _character(self, mask: int) -> _Part:
        if len(self.masks) >= MAX_POSITIONS:
            raise TooManyWays("it is too long with its repeats written out")
        self.masks.append(mask)
        self.follows.append(Counter())
        position = len(self.masks) - 1
        return _Part({position: 1}, {(position, 0): 1}, 0)

    def _look(self, items: Any, flags: int) -> _Part:
        # It may be tried at each character that comes before it.
        if items.getwidth()[1] > _WRITTEN_OUT and self.masks:
            raise TooManyWays("it looks far ahead behind its beginning")
        inner = _Automaton(self.classes, self.longest)
        inner.check(inner.sequence(items, flags))
        return _NOTHING

    def _repeat(
        self, flags: int, least: int, most: int, items: Any, *, possessive: bool
    ) -> _Part:
        endless = most == _constants.MAXREPEAT or most > _WRITTEN_OUT
        least = min(least, _WRITTEN_OUT)
        found = _NOTHING
        for _ in range(least - endless):
            found = self._then(found, self.sequence(items, flags))
        if endless:
            one = self.sequence(items, flags)
            single = len(items) == 1 and items[0][0] in _SINGLE
            if possessive and single and most == _constants.MAXREPEAT:
                # It has taken all characters of its class that there were.
                last = {(p, self.masks[p]): ways for (p, _), ways in one.last.items()}
                self._link(one.last, one.first)
                one = _Part(one.first, last, one.empty)
            else:
                self._link(one.last, one.first)
            if least == 0:
                one = _Part(one.first, one.last, 1 + one.empty)
            return self._then(found, one)
        rest = _NOTHING
        for _ in range(most - least):  # (x(x(x)?)?)?, from within
            one = self._then(self.sequence(items, flags), rest)
            rest = _Part(one.first, one.last, 1 + one.empty)
        return self._then(found, rest)

    def _then(self, one: _Part, two: _Part) -> _Part:
        self._link(one.last, two.first)
        first, last = Counter(one.first), Counter(two.last)
        for position, ways in two.first.items():
            first[position] += ways * one.empty
        for end, ways in one.last.items():
            last[end] += ways * two.empty
        return _Part(+first, +last, one.empty * two.empty)

    def _link(
        self, ends: Mapping[tuple[int, int], int], begins: Mapping[int, int]
    ) -> None:
        for (end, excluded), ways in ends.items():
            for begin, more in begins.items():
                mask = self.masks[begin] & ~excluded
                if mask:
                    self.follows[end][begin, mask] += ways * more

    def check(self, whole: _Part) -> None:
        """@raise TooManyWays: if a text up to the longest one has too many."""
        most = MAX_STEPS // max(1, self.longest)
        bits = max(self.classes.values(), default=0).bit_length()
        letters = [1 << bit for bit in range(bits)]
        begin = Counter({(p, self.masks[p]): ways for p, ways in whole.first.items()})
        level = [self._step([(begin, 1)], letter) for letter in letters]
        seen: set[frozenset[tuple[int, int]]] = set()
        for _ in range(self.longest):
            fresh: list[Counter[int]] = []
            for ways in level:
                if ways.total() > most:
                    raise TooManyWays("it can read some texts in very many ways")
                key = frozenset(ways.items())
                if ways and key not in seen:
                    seen.add(key)
                    fresh.append(ways)
            if len(seen) > MAX_SETS:
                raise TooManyWays("it can read texts in too many different ways")
            if not fresh:
                return
            level = [
                self._step(((self.follows[p], n) for p, n in ways.items()), letter)
                for ways in fresh
                for letter in letters
            ]

    def _step(
        self, edges: Iterable[tuple[Counter[tuple[int, int]], int]], letter: int
    ) -> Counter[int]:
        """The ways after a character of one class."""
        found: Counter[int] = Counter()
        for begins, ways in edges:
            for (position, mask), more in begins.items():
                if mask & letter:
                    found[position] += ways * more
        return found


def _either(parts: Sequence[_Part]) -> _Part:
    first: Counter[int] = Counter()
    last: Counter[tuple[int, int]] = Counter()
    for each in parts:
        first.update(each.first)
        last.update(each.last)
    return _Part(first, last, sum(each.empty for each in parts))


def _key(op: Any, value: Any, flags: int) -> object:
    return op, str(value), flags


def _singles(items: Any, flags: int) -> Iterator[tuple[Any, Any, int]]:
    """All parts of a pattern that match one character, with their flags."""
    for op, value in items:
        if op in _SINGLE:
            yield op, value, flags
        elif op is _constants.SUBPATTERN:
            yield from _singles(value[3], (flags | value[1]) & ~value[2])
        elif op is _constants.BRANCH:
            for each in value[1]:
                yield from _singles(each, flags)
        elif op in _REPEATS:
            yield from _singles(value[2], flags)
        elif op in _LOOKS:
            yield from _singles(value[1], flags)
        elif op is _constants.ATOMIC_GROUP:
            yield from _singles(value, flags)


def _classes(parsed: Any, flags: int) -> Mapping[object, int]:
    """
    What each such part matches: a set of classes, as bits. Characters are in one class
    if no part of the pattern tells them apart.
    """
    singles = {_key(*each): each for each in _singles(parsed, flags)}
    named = {
        code + near
        for op, value, _ in singles.values()
        for code in _codes(op, value)
        for near in (-1, 0, 1)
    }
    alphabet = _ALPHABET + "".join(chr(code) for code in named if 0 <= code <= 0x10FFFF)
    members = []
    for op, value, own in singles.values():
        alone = _parser.SubPattern(_parser.State(), [(op, value)])
        members.append(set(_compiler.compile(alone, own).findall(alphabet)))
    classes: dict[tuple[bool, ...], int] = {}
    masks = [0] * len(members)
    for character in set(alphabet):
        signature = tuple(character in each for each in members)
        if signature not in classes:
            classes[signature] = 1 << len(classes)
            for index, found in enumerate(signature):
                masks[index] |= classes[signature] if found else 0
    return dict(zip(singles, masks, strict=True))


def _codes(op: Any, value: Any) -> Iterator[int]:
    """The characters that a part names."""
    if op in (_constants.LITERAL, _constants.NOT_LITERAL):
        yield value
    elif op is _constants.IN:
        for kind, each in value:
            if kind is _constants.RANGE:
                low, high = each
                yield from range(low, min(high, low + _MAX_RANGE))
                yield high
            elif kind is _constants.LITERAL:
                yield each
