"""CHECK texts -> predicates: `total_cents >= 0 and status in ('open', 'paid')`.

    expression = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation = "not" negation | "(" expression ")" | test
    test = field ( "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) literal
         | field [ "not" ] "in" "(" literal { "," literal } ")"
         | field "is" [ "not" ] "null"
         | field "prefix" string | field "contains" literal
    literal = number | string in single quotes ('' is a quote) | "true" | "false"

A field is compared with a value, never with another field: a predicate knows no more.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NoReturn

import msgspec

from grit.core.catalog import Check, FieldKind, FieldType
from grit.core.fields import NUMBERS, type_name
from grit.core.predicate import (
    DEPTH_MAX,
    And,
    Compare,
    Contains,
    Expr,
    In,
    IsNull,
    Not,
    Or,
    Prefix,
    encode_expr,
    fields_of,
)
from grit.core.spelling import unknown_name
from grit.core.values import INT_MAX, INT_MIN, Value

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>[-+]?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|!=|<>|[=<>(),])|(?P<end>$))"
)
_COMPARATORS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})


class CheckSyntaxError(Exception):
    """What is wrong with a check, and at which character of its text, from 0."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def parse_check(text: str, fields: Mapping[str, FieldType]) -> Check:
    """Return the check that a text spells over a record with these fields.

    Raises:
        CheckSyntaxError: It spells none.
    """
    parser = _Parser(_tokens(text), fields)
    expr = parser.expression(0)
    parser.expect("end", "", "`and`, `or` or the end")
    return Check(text, encode_expr(expr), tuple(sorted(fields_of(expr))))


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise CheckSyntaxError(
                start, f"does not understand {text[start : start + 12]!r}; text goes in 'single quotes'"
            )
        tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
        at = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens; `next` is the place of the next one."""

    def __init__(self, tokens: list[_Token], fields: Mapping[str, FieldType]) -> None:
        self.tokens = tokens
        self.fields = fields
        self.next = 0

    def expression(self, depth: int) -> Expr:
        if depth > DEPTH_MAX:
            self.refuse(self.tokens[self.next], f"is nested deeper than {DEPTH_MAX}")
        parts = [self.conjunction(depth)]
        while self.took_word("or"):
            parts.append(self.conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self, depth: int) -> Expr:
        parts = [self.negation(depth)]
        while self.took_word("and"):
            parts.append(self.negation(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negation(self, depth: int) -> Expr:
        if depth > DEPTH_MAX:
            self.refuse(self.tokens[self.next], f"is nested deeper than {DEPTH_MAX}")
        if self.took_word("not"):
            return Not(self.negation(depth + 1))
        if self.took_sign("("):
            expr = self.expression(depth + 1)
            self.expect("sign", ")", "`)`")
            return expr
        return self.test()

    def test(self) -> Expr:
        name = self.expect("word", None, "the name of a field")
        declared = self.fields.get(name.text)
        if declared is None:
            self.refuse(name, f'knows no field "{name.text}"{unknown_name(name.text, self.fields)}')
        token = self.tokens[self.next]
        if token.kind == "sign" and token.text in _COMPARATORS:
            self.next += 1
            return Compare(
                name.text, "!=" if token.text == "<>" else token.text, self.literal(name.text, declared.kind)
            )
        if self.took_word("is"):
            negated = self.took_word("not")
            if not self.took_word("null"):
                self.refuse(self.tokens[self.next], "expects `null` after `is`")
            return Not(IsNull(name.text)) if negated else IsNull(name.text)
        if self.took_word("prefix"):
            return Prefix(name.text, self.string_literal(name.text, declared.kind))
        if self.took_word("contains"):
            return Contains(name.text, self.literal(name.text, None))
        negated = self.took_word("not")
        if not self.took_word("in"):
            self.refuse(
                self.tokens[self.next],
                f"expects a comparison, `in`, `is null`, `prefix` or `contains` after {name.text}",
            )
        members = In(name.text, self.members(name.text, declared.kind))
        return Not(members) if negated else members

    def members(self, field: str, kind: FieldKind) -> tuple[Value, ...]:
        self.expect("sign", "(", "`(`")
        members = [self.literal(field, kind)]
        while self.took_sign(","):
            members.append(self.literal(field, kind))
        self.expect("sign", ")", "`,` or `)`")
        return tuple(members)

    def string_literal(self, field: str, kind: FieldKind) -> str:
        token = self.tokens[self.next]
        value = self.literal(field, kind)
        if not isinstance(value, str):
            self.refuse(token, f"expects text in 'single quotes' for {field}")
        return value

    def literal(self, field: str, kind: FieldKind | None) -> Value:
        token = self.tokens[self.next]
        self.next += 1
        value = self.value_of(token, field)
        given = type_name(value)
        fits = kind is None or given == kind or (kind in NUMBERS and given in {number.value for number in NUMBERS})
        if not fits:
            self.refuse(token, f"compares {field}, which is {kind}, with {token.text}, which is {given}")
        return value

    def value_of(self, token: _Token, field: str) -> Value:
        if token.kind == "string":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number" and "." in token.text:
            return Decimal(token.text)
        if token.kind == "number":
            if not INT_MIN <= int(token.text) <= INT_MAX:
                self.refuse(token, f"compares {field} with a number beyond 64 bits")
            return int(token.text)
        if token.kind == "word" and token.text.lower() in ("true", "false"):
            return token.text.lower() == "true"
        if token.kind == "word" and token.text in self.fields:
            self.refuse(
                token, f"compares {field} with the field {token.text}; a field can be compared with a value only"
            )
        self.refuse(token, f"expects a number, 'text', true or false for {field}")

    def took_word(self, word: str) -> bool:
        token = self.tokens[self.next]
        return self.took(token.kind == "word" and token.text.lower() == word)

    def took_sign(self, sign: str) -> bool:
        token = self.tokens[self.next]
        return self.took(token.kind == "sign" and token.text == sign)

    def took(self, matches: bool) -> bool:
        self.next += matches
        return matches

    def expect(self, kind: str, text: str | None, wanted: str) -> _Token:
        token = self.tokens[self.next]
        if token.kind != kind or (text is not None and token.text != text):
            self.refuse(
                token, f"expects {wanted}, not {token.text!r}" if token.text else f"ends where it expects {wanted}"
            )
        self.next += 1
        return token

    def refuse(self, token: _Token, message: str) -> NoReturn:
        raise CheckSyntaxError(token.at, message)
