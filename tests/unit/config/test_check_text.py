from decimal import Decimal

import pytest

from grit.config.check_text import CheckSyntaxError, parse_check
from grit.core.catalog import FieldKind, FieldType
from grit.core.predicate import And, Compare, Contains, Expr, In, IsNull, Not, Or, Prefix, decode_expr

FIELDS = {
    "a": FieldType(FieldKind.INT),
    "b": FieldType(FieldKind.DECIMAL, 9, 2),
    "s": FieldType(FieldKind.STRING),
    "t": FieldType(FieldKind.BOOL),
    "l": FieldType(FieldKind.LIST),
}
A, S = Compare("a", ">=", 0), Compare("s", "=", "x")


@pytest.mark.parametrize(
    ("text", "expr"),
    [
        ("a >= 0", A),
        ("a>=0", A),
        ("a <> -3", Compare("a", "!=", -3)),
        ("b < 1.50", Compare("b", "<", Decimal("1.50"))),
        ("a <= 1.5", Compare("a", "<=", Decimal("1.5"))),
        ("s = 'it''s'", Compare("s", "=", "it's")),
        ("t = TRUE", Compare("t", "=", True)),
        ("s in ('a', 'b')", In("s", ("a", "b"))),
        ("s not in ('a')", Not(In("s", ("a",)))),
        ("s is null", IsNull("s")),
        ("s IS NOT NULL", Not(IsNull("s"))),
        ("s prefix 'ab'", Prefix("s", "ab")),
        ("l contains 3", Contains("l", 3)),
        ("a >= 0 and s = 'x'", And((A, S))),
        ("a >= 0 or s = 'x' and a >= 0", Or((A, And((S, A))))),
        ("(a >= 0 or s = 'x') and a >= 0", And((Or((A, S)), A))),
        ("not a >= 0 and s = 'x'", And((Not(A), S))),
        ("not (a >= 0 and s = 'x')", Not(And((A, S)))),
        ("a >= 0 and a >= 0 and a >= 0", And((A, A, A))),
    ],
)
def test_a_check_means_what_it_says(text: str, expr: Expr) -> None:
    check = parse_check(text, FIELDS)
    assert decode_expr(check.where) == expr
    assert check.text == text


def test_a_check_names_its_fields_once_and_sorted() -> None:
    assert parse_check("s = 'x' or a > 1 or a < 0", FIELDS).fields == ("a", "s")


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 0, "ends where it expects the name of a field"),
        ("a >=", 4, "expects a number"),
        ("a > 0 s", 6, "expects `and`, `or` or the end"),
        ("aa > 0", 0, 'did you mean "a"?'),
        ("a > 'x'", 4, "which is int, with 'x', which is string"),
        ("s in (1)", 6, "which is string"),
        ("a > b", 4, "can be compared with a value only"),
        ("a > 99999999999999999999", 4, "beyond 64 bits"),
        ("(a > 0", 6, "ends where it expects `)`"),
        ("a is 3", 5, "expects `null`"),
        ("a between 1 and 2", 2, "expects a comparison"),
        ('s = "x"', 4, "single quotes"),
        ("s = 'x", 4, "single quotes"),
        ("s prefix 3", 9, "which is string, with 3, which is int"),
        ("a = 1; drop", 5, "does not understand"),
        ("not " * 40 + "a = 1", 33 * 4, "nested deeper"),
        ("(" * 40 + "a = 1" + ")" * 40, 33, "nested deeper"),
    ],
)
def test_a_broken_check_is_refused_at_the_character(text: str, at: int, words: str) -> None:
    with pytest.raises(CheckSyntaxError) as raised:
        parse_check(text, FIELDS)
    assert words in raised.value.message
    assert raised.value.at == at
