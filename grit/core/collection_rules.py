"""The rules of one collection: is this one of its keys, records, fields, predicates, and how is it spelt?

Every refusal is a `GritError` of kind InvalidRequest that names "realm.collection" and the field.
"""

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from grit.core.catalog import Check, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.engines import ENGINES
from grit.core.errors import Code, GritError
from grit.core.fields import NUMBERS, any_value, fitted, scalar, type_name
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import decode_key, encode_key, normalise_component
from grit.core.limits import Limits
from grit.core.predicate import (
    And,
    Compare,
    Contains,
    Expr,
    In,
    IsNull,
    Not,
    Or,
    Prefix,
    Where,
    decode_expr,
    encode_expr,
    may_match,
)
from grit.core.spelling import unknown_name
from grit.core.values import Row, Value, encode_record

Catalogue = Mapping[Realm, RealmDef]


def find_collection(catalogue: Catalogue, realm: str, collection: str) -> CollectionDef:
    """Return the definition.

    Raises:
        GritError: UNKNOWN_COLLECTION, with the likeliest spelling.
    """
    found = catalogue.get(Realm(realm))
    if found is None:
        raise GritError(Code.UNKNOWN_COLLECTION, f'unknown realm "{realm}"{unknown_name(realm, catalogue)}')
    definition = found.collections.get(Collection(collection))
    if definition is None:
        hint = unknown_name(collection, found.collections)
        raise GritError(Code.UNKNOWN_COLLECTION, f'realm {realm} has no collection "{collection}"{hint}')
    return definition


def violated_check(definition: CollectionDef, row: Row) -> Check | None:
    """Return the first CHECK that a whole record breaks.

    As in SQL, a check that a null leaves undecided is not broken; where a field is both compared and tested
    for null, this may be stricter than SQL and never laxer: the database must accept what passed.
    """
    for check in definition.checks:
        nulls = frozenset(field for field in check.fields if row.get(field) is None)
        if not may_match(check.where, row, nulls - _null_tested(decode_expr(check.where))):
            return check
    return None


def _null_tested(expr: Expr) -> frozenset[str]:
    if isinstance(expr, And | Or):
        return frozenset[str]().union(*(_null_tested(part) for part in expr.parts))
    if isinstance(expr, Not):
        return _null_tested(expr.part)
    return frozenset({expr.field}) if isinstance(expr, IsNull) else frozenset()


def constraint_on(definition: CollectionDef, field: str) -> str:
    """Return which constraint a field is in, in words; "" when in none. Bounds are none of these."""
    if field in definition.key:
        return "the key"
    if any(field in group for group in definition.unique):
        return "a unique group"
    if field in definition.references:
        return "a reference"
    return next((f"the check {check.text!r}" for check in definition.checks if field in check.fields), "")


def rules_of(realm: Realm, collection: Collection, catalogue: Catalogue, limits: Limits) -> "CollectionRules":
    """Return the rules of one collection.

    Raises:
        GritError: UNKNOWN_COLLECTION.
    """
    definition = find_collection(catalogue, realm, collection)
    return CollectionRules(f"{realm}.{collection}", catalogue[realm], definition, limits)


class CollectionRules(msgspec.Struct, frozen=True):
    """One collection that an operation is held against; `name` is "realm.collection"."""

    name: str
    realm: RealmDef
    definition: CollectionDef
    limits: Limits

    def refuse(self, message: str) -> NoReturn:
        """Raise BAD_REQUEST with the collection's name."""
        raise GritError(Code.BAD_REQUEST, f"{self.name}: {message}")

    def field(self, name: str) -> FieldType | None:
        """Return the type of a field, None for an undeclared one of a document."""
        declared = self.definition.fields.get(name)
        if declared is None and self.definition.shape != Shape.DOCUMENT:
            self.refuse(f'there is no field "{name}"{unknown_name(name, self.definition.fields)}')
        if declared is None and (not name or "\x00" in name or name.startswith("$") or "." in name):
            self.refuse(f"a document has no field {name!r}: a name is not empty, has no dot, and does not begin with $")
        return declared

    def fields(self, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Return the fields to be read, each once; None = all."""
        if names is None:
            return None
        for name in names:
            self.field(name)
        return tuple(dict.fromkeys(names))

    def value(self, name: str, value: Value) -> Value:
        """Return the value of a field as the field spells it, in its bounds."""
        declared, place, depth = self.field(name), f"{self.name}.{name}", self.limits.value_depth
        if declared is None:
            return any_value(value, place, depth_max=depth)
        value = fitted(value, declared, place, depth_max=depth, flat_lists=ENGINES[self.realm.engine].flat_lists)
        self._check_bound(name, value)
        return normalise_component(value) if name in self.definition.key else value

    def _check_bound(self, name: str, value: Value) -> None:
        bound = self.definition.bounds.get(name)
        if bound is None or value is None:
            return
        if (bound.min is not None and value < bound.min) or (bound.max is not None and value > bound.max):
            least, most = ("any" if end is None else f"{end:,}" for end in (bound.min, bound.max))
            raise GritError(Code.BOUND_VIOLATION, f"{self.name}.{name} is {value:,}; it may be {least} to {most}")

    def key(self, key: Key) -> Key:
        """Return a key of this collection as its fields spell it."""
        try:
            components = decode_key(key)
        except (ValueError, ArithmeticError, IndexError) as error:
            raise GritError(Code.BAD_REQUEST, f"{self.name}: not a canonical key: {key[:32].hex()}") from error
        names = self.definition.key
        if len(components) != len(names):
            wanted = ", ".join(names)
            self.refuse(f"a key has {len(names)} component(s): {wanted}; this has {len(components)}")
        return self._encoded([self.key_component(name, value) for name, value in zip(names, components, strict=True)])

    def key_component(self, name: str, value: Value) -> Value:
        """Return one component of a key; a missing one is refused."""
        if value is None:
            self.refuse(f'the key field "{name}" is missing')
        return self.value(name, value)

    def key_of(self, row: Row) -> Key:
        """Return the key that stands in a record."""
        return self._encoded([self.key_component(name, row.get(name)) for name in self.definition.key])

    def _encoded(self, components: list[Value]) -> Key:
        key = encode_key(components)
        if len(key) > self.limits.key_bytes:
            raise GritError(
                Code.TOO_LARGE, f"{self.name}: a key may have {self.limits.key_bytes:,} bytes; this has {len(key):,}"
            )
        return key

    def row(self, row: Row) -> Row:
        """Return a whole record: every field fits, none that must be there is missing, every CHECK holds."""
        whole = {name: self.value(name, value) for name, value in row.items()}
        for name, declared in self.definition.fields.items():
            if whole.get(name) is None and not declared.nullable:
                if name in self.definition.key:
                    self.refuse(f'the key field "{name}" is missing')
                raise GritError(Code.CONSTRAINT, f"{self.name}.{name} must not be null; it is missing")
        whole = {name: value for name, value in whole.items() if value is not None}
        self.check_size(whole)
        broken = violated_check(self.definition, whole)
        if broken is not None:
            raise GritError(Code.CONSTRAINT, f"{self.name}: the check {broken.text!r} does not hold")
        return whole

    def check_size(self, row: Row) -> None:
        """Refuse a record that no transaction could carry."""
        size = len(encode_record(row))
        if size > self.limits.transaction_bytes:
            most = self.limits.transaction_bytes
            raise GritError(Code.TOO_LARGE, f"{self.name}: a record may have {most:,} bytes; this has {size:,}")

    def where(self, where: Where) -> Where:
        """Return a predicate whose fields exist and whose operands could match."""
        if not where:
            return where
        try:
            expr = decode_expr(where)
        except (ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise GritError(Code.BAD_REQUEST, f"{self.name}: {error}") from error
        return encode_expr(self._expr(expr))

    def _expr(self, expr: Expr) -> Expr:
        if isinstance(expr, And):
            return And(tuple(self._expr(part) for part in expr.parts))
        if isinstance(expr, Or):
            return Or(tuple(self._expr(part) for part in expr.parts))
        if isinstance(expr, Not):
            return Not(self._expr(expr.part))
        return self._leaf(expr)

    def _leaf(self, expr: Compare | In | Prefix | IsNull | Contains) -> Expr:
        declared = self.field(expr.field)
        if isinstance(expr, IsNull):
            return expr
        if isinstance(expr, Prefix):
            self._expect(declared, {FieldKind.STRING}, expr.field, "prefix")
            return Prefix(expr.field, self.operand(expr.field, None, expr.prefix))
        if isinstance(expr, Contains):
            self._expect(declared, {FieldKind.STRING, FieldKind.LIST}, expr.field, "contains")
            return Contains(expr.field, self.operand(expr.field, None, expr.value))
        if isinstance(expr, In):
            return In(expr.field, tuple(self.operand(expr.field, declared, value) for value in expr.values))
        return Compare(expr.field, expr.op, self.operand(expr.field, declared, expr.value))

    def _expect(self, declared: FieldType | None, kinds: set[FieldKind], field: str, test: str) -> None:
        if declared is not None and declared.kind not in kinds:
            wanted = " or ".join(sorted(kinds))
            raise GritError(
                Code.TYPE_MISMATCH, f"{self.name}.{field} is {declared.kind}; `{test}` asks for a {wanted} field"
            )

    def operand(self, field: str, declared: FieldType | None, value: Value) -> Value:
        """Return what a field is compared with: of the family of the field, else it could never match."""
        place = f"{self.name}.{field} in where"
        if declared is not None and declared.kind in (FieldKind.LIST, FieldKind.MAP):
            return any_value(value, place, depth_max=self.limits.value_depth)
        value = scalar(value, place)
        if declared is not None and value is not None and not _same_family(declared.kind, type_name(value)):
            raise GritError(Code.TYPE_MISMATCH, f"{place} must be {declared.kind}, not {type_name(value)}")
        return normalise_component(value) if field in self.definition.key else value

    def expect_not_relationship(self, verb: str, instead: str) -> None:
        """Refuse an operation that relationships have another word for."""
        if self.definition.shape == Shape.RELATIONSHIP:
            self.refuse(f"{verb} is not for relationships; use {instead}")

    def expect_relationship(self, verb: str) -> None:
        """Refuse an operation of relationships elsewhere."""
        if self.definition.shape != Shape.RELATIONSHIP:
            self.refuse(f"{verb} is for relationships; this is a {self.definition.shape}")

    def at(self, collection: Collection) -> "CollectionRules":
        """Look at another collection of the same realm."""
        return rules_of(self.realm.name, collection, {self.realm.name: self.realm}, self.limits)


def _same_family(kind: FieldKind, given: str) -> bool:
    return kind == given or (kind in NUMBERS and given in NUMBERS)
