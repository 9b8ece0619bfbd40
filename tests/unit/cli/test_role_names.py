import pytest

from grit.cli.role_names import RoleKind, RoleName, every_role, parse_roles
from grit.core.errors import ConfigError
from grit.core.ids import Realm

ORDERS, CARTS = Realm("orders"), Realm("carts")


def test_words_name_roles_in_their_order() -> None:
    assert parse_roles(["gtm", "dbtm", "orders", "player", "orders", "sidecar"], [ORDERS, CARTS]) == [
        RoleName(RoleKind.GTM),
        RoleName(RoleKind.DBTM, ORDERS),
        RoleName(RoleKind.PLAYER, ORDERS),
        RoleName(RoleKind.SIDECAR),
    ]


def test_a_realm_may_have_the_name_of_a_role() -> None:
    assert parse_roles(["dbtm", "gtm"], [Realm("gtm")]) == [RoleName(RoleKind.DBTM, Realm("gtm"))]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no role is named"),
        (["dbmt", "orders"], 'no role "dbmt"; did you mean "dbtm"?'),
        (["dbtm"], "dbtm needs a realm after it: dbtm orders"),
        (["player", "order"], 'no realm "order"; did you mean "orders"?'),
        (["gtm", "gtm"], "gtm is named twice"),
        (["dbtm", "orders", "dbtm", "orders"], "dbtm orders is named twice"),
    ],
)
def test_words_that_name_no_roles_are_refused_with_a_remedy(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_roles(words, [ORDERS, CARTS])
    assert message in str(raised.value)


def test_every_role_is_two_a_realm_and_two_more() -> None:
    roles = every_role([ORDERS, CARTS])
    assert len(roles) == len(set(roles)) == 6
    assert str(roles[0]) == "dbtm orders"
