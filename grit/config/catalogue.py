"""The `realms` section -> `RealmDef`s: what each database holds, checked against what its engine can hold."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from grit.config.addresses import parse_addresses
from grit.config.check_text import CheckSyntaxError, parse_check
from grit.config.document import Piece, Section
from grit.config.field_type import parse_field_type
from grit.core.catalog import END, START, Bound, Check, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.collection_rules import constraint_on
from grit.core.engines import ENGINES, Engine
from grit.core.ids import Collection, Realm
from grit.core.spelling import unknown_name

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")
_RESERVED = "grit_"
_EMBEDDED = ("sqlite", "document", "graph")
_NO_KEY = frozenset({FieldKind.FLOAT, FieldKind.LIST, FieldKind.MAP})
_COLLECTION_NAMES = ("key", "fields", "unique", "references", "check", "bounds", "start", "end")


def parse_realms(piece: Piece, base: Path) -> dict[Realm, RealmDef]:
    """Return the realms in the order of the file; paths are relative to `base`.

    Raises:
        ConfigError: The first mistake, with its place and remedy.
    """
    realms = {Realm(_name(name, at)): _realm(name, value, base) for name, at, value in piece.section()}
    if not realms:
        piece.refuse("realms is empty: describe at least one database")
    _refuse_shared_files(realms, piece.section())
    return realms


def _refuse_shared_files(realms: Mapping[Realm, RealmDef], section: Section) -> None:
    owners: dict[str, Realm] = {}
    for name, realm in realms.items():
        owner = owners.setdefault(realm.url, name) if realm.url else name
        if owner != name:
            section.entries[name][0].refuse(f"realm {name} has the same url as realm {owner}: give each its own")


def _realm(name: str, piece: Piece, base: Path) -> RealmDef:
    section = piece.section()
    section.expect("engine", "url", "dbtm", "collections")
    engine = ENGINES[section.need("engine", "engine: sqlite").choice(ENGINES)]
    dbtm = section.get("dbtm")
    return RealmDef(
        Realm(name),
        engine.name,
        _url(section, engine, base),
        _collections(section.need("collections", "collections: {orders: {...}}"), engine),
        parse_addresses(dbtm) if dbtm else (),
    )


def _url(section: Section, engine: Engine, base: Path) -> str:
    if engine.name == "memory":
        given = section.get("url")
        if given is not None:
            given.refuse(f"{given.path}: the memory engine has no url; leave it out")
        return ""
    example = f"url: var/{engine.name}.db" if engine.name in _EMBEDDED else "url: ${DATABASE_URL}"
    piece = section.need("url", example)
    url = piece.text()
    if not url:
        piece.refuse(f"{piece.path} is empty: say where the database is")
    if engine.name not in _EMBEDDED:
        return url
    if "://" in url:
        piece.refuse(f"{piece.path} of an embedded engine is the path of a file, such as var/{engine.name}.db")
    return str(base / url)


def _collections(piece: Piece, engine: Engine) -> dict[Collection, CollectionDef]:
    section = piece.section()
    sections = {Collection(_name(name, at)): value.section() for name, at, value in section}
    if not sections:
        piece.refuse(f"{piece.path} is empty: describe at least one collection")
    _refuse_same_but_for_case(section)
    shapes = _shapes(sections, engine)
    plain = {name: one for name, one in sections.items() if shapes[name] != Shape.RELATIONSHIP}
    made = {name: _plain_collection(name, one, shapes[name], engine) for name, one in plain.items()}
    for name, one in sections.items():
        if shapes[name] == Shape.RELATIONSHIP:
            made[name] = _relationship(name, one, engine, made)
    for name, definition in made.items():
        _check_references(sections[name], definition, made)
    return {name: made[name] for name in sections}


def _shapes(sections: Mapping[Collection, Section], engine: Engine) -> dict[Collection, Shape]:
    has_relationships = any(section.get(START) or section.get(END) for section in sections.values())
    shapes: dict[Collection, Shape] = {}
    for name, section in sections.items():
        section.expect(*_COLLECTION_NAMES)
        end = section.get(START) or section.get(END)
        if end is not None and Shape.RELATIONSHIP not in engine.shapes:
            end.refuse(
                f"{end.path}: engine {engine.name} holds no relationships; use a graph engine, or remove start and end"
            )
        if end is not None:
            shapes[name] = Shape.RELATIONSHIP
        elif Shape.TABLE in engine.shapes and not has_relationships:
            shapes[name] = Shape.TABLE
        else:
            shapes[name] = Shape.NODE if Shape.NODE in engine.shapes else Shape.DOCUMENT
    return shapes


def _plain_collection(name: Collection, section: Section, shape: Shape, engine: Engine) -> CollectionDef:
    fields = _fields(section.need("fields", "fields: {order_id: string(40)}"), engine)
    key = _key(section.need("key", "key: [order_id]"), fields)
    return _with_constraints(CollectionDef(name, shape, key, fields), section)


def _relationship(
    name: Collection, section: Section, engine: Engine, nodes: Mapping[Collection, CollectionDef]
) -> CollectionDef:
    key = section.get("key")
    if key is not None:
        key.refuse(f"{key.path}: the key of a relationship is its start and end; remove key")
    start, end = (section.need(side, f"{side}: Customer") for side in (START, END))
    piece = section.get("fields")
    properties = _fields(piece, engine) if piece else {}
    for side in (START, END):
        if side in properties and piece is not None:
            piece.section().entries[side][0].refuse(
                f'{piece.path}: "{side}" is a node of the relationship; rename the field'
            )
    ends = {START: _node_key(start, nodes), END: _node_key(end, nodes)}
    definition = CollectionDef(
        name,
        Shape.RELATIONSHIP,
        (START, END),
        {**ends, **properties},
        start=Collection(start.text()),
        end=Collection(end.text()),
    )
    return _with_constraints(definition, section)


def _node_key(piece: Piece, nodes: Mapping[Collection, CollectionDef]) -> FieldType:
    """Return the type of the key of the node collection that a relationship names."""
    label = piece.text()
    node = nodes.get(Collection(label))
    if node is None or node.shape != Shape.NODE:
        known = [name for name, one in nodes.items() if one.shape == Shape.NODE]
        piece.refuse(f'{piece.path}: "{label}" is no node collection of this realm{unknown_name(label, known)}')
    if len(node.key) != 1:
        piece.refuse(
            f"{piece.path}: {label} has a key of {len(node.key)} fields; a relationship joins nodes with one key field"
        )
    return node.fields[node.key[0]]


def _fields(piece: Piece, engine: Engine) -> dict[str, FieldType]:
    fields: dict[str, FieldType] = {}
    for name, at, value in piece.section():
        fields[_name(name, at)] = declared = parse_field_type(value)
        if declared.kind not in engine.kinds:
            held = ", ".join(sorted(engine.kinds))
            value.refuse(f"{value.path}: engine {engine.name} cannot hold a {declared.kind}; it holds {held}")
    if Shape.TABLE in engine.shapes:
        _refuse_same_but_for_case(piece.section())
    return fields


def _key(piece: Piece, fields: Mapping[str, FieldType]) -> tuple[str, ...]:
    items = piece.items()
    key = tuple(_declared(item, fields) for item in items)
    if not key:
        piece.refuse(f"{piece.path} is empty: name the fields that identify a record")
    for at, (item, name) in enumerate(zip(items, key, strict=True)):
        if name in key[:at]:
            item.refuse(f'{piece.path} has "{name}" twice: remove one')
        if fields[name].kind in _NO_KEY:
            item.refuse(
                f'{piece.path}: "{name}" is {fields[name].kind}, which cannot be a key; use int, string, decimal, ...'
            )
        if fields[name].nullable:
            item.refuse(f'{piece.path}: "{name}" may be null, which a key field may not; remove the ? of its type')
    return key


def _with_constraints(plain: CollectionDef, section: Section) -> CollectionDef:
    """Return the definition with unique groups, references, checks and bounds; references are not yet resolved."""
    unique, references, check = (section.get(name) for name in ("unique", "references", "check"))
    held = msgspec.structs.replace(
        plain,
        unique=tuple(_unique(group, plain.fields) for group in unique.items()) if unique else (),
        references=_references(references, plain.fields) if references else {},
        checks=tuple(_check(text, plain.fields) for text in check.items()) if check else (),
    )
    bounds = section.get("bounds")
    return _with_bounds(held, bounds.section()) if bounds else held


def _unique(piece: Piece, fields: Mapping[str, FieldType]) -> tuple[str, ...]:
    items = piece.items()
    group = tuple(_declared(item, fields) for item in items)
    if not group or len(set(group)) != len(group):
        piece.refuse(f"{piece.path} must name one field or several different ones, such as [[customer, order_no]]")
    for item, name in zip(items, group, strict=True):
        if fields[name].kind in _NO_KEY:
            item.refuse(f'{piece.path}: "{name}" is {fields[name].kind}, which cannot be unique')
    return group


def _references(piece: Piece, fields: Mapping[str, FieldType]) -> dict[str, Collection]:
    section = piece.section()
    for name, at, _ in section:
        if name not in fields:
            at.refuse(f'{piece.path}: there is no field "{name}"{unknown_name(name, fields)}')
    return {name: Collection(value.text()) for name, _, value in section}


def _check_references(section: Section, definition: CollectionDef, made: Mapping[Collection, CollectionDef]) -> None:
    piece = section.get("references")
    for name, _, value in piece.section() if piece else ():
        target = made.get(definition.references[name])
        if target is None:
            hint = unknown_name(value.text(), made)
            value.refuse(f'{value.path}: this realm has no collection "{value.text()}"{hint}')
        if target.shape == Shape.RELATIONSHIP or len(target.key) != 1:
            value.refuse(
                f"{value.path}: a reference is to a collection with one key field; {target.name} has {', '.join(target.key)}"
            )
        wanted, given = target.fields[target.key[0]].kind, definition.fields[name].kind
        if wanted != given:
            value.refuse(f"{value.path}: {name} is {given}, the key of {target.name} is {wanted}; make them equal")


def _check(piece: Piece, fields: Mapping[str, FieldType]) -> Check:
    text = piece.text()
    try:
        return parse_check(text, fields)
    except CheckSyntaxError as error:
        quoted = int(getattr(piece.node, "style", None) in ("'", '"'))
        piece.refuse(f"the check {text!r} {error.message}", column_offset=quoted + error.at)


def _with_bounds(plain: CollectionDef, section: Section) -> CollectionDef:
    bounds = {name: _bound(plain, name, at, value) for name, at, value in section}
    return msgspec.structs.replace(plain, bounds=bounds)


def _bound(definition: CollectionDef, name: str, at: Piece, value: Piece) -> Bound:
    declared = definition.fields.get(name)
    if declared is None:
        at.refuse(f'bounds: there is no field "{name}"{unknown_name(name, definition.fields)}')
    if declared.kind != FieldKind.INT:
        at.refuse(f'bounds: "{name}" is {declared.kind}; only int fields have bounds')
    held_by = constraint_on(definition, name)
    if held_by:
        at.refuse(f'bounds: "{name}" is in {held_by} too; a field with bounds has no other constraint')
    section = value.section()
    section.expect("min", "max")
    least, most = (None if end is None else end.integer() for end in (section.get("min"), section.get("max")))
    if least is None and most is None:
        value.refuse(f"{value.path} bounds nothing: write {{min: 0}}")
    if least is not None and most is not None and least > most:
        value.refuse(f"{value.path}: min {least:,} is above max {most:,}")
    return Bound(least, most)


def _declared(item: Piece, fields: Mapping[str, FieldType]) -> str:
    name = item.text()
    if name not in fields:
        item.refuse(f'{item.path}: there is no field "{name}"{unknown_name(name, fields)}')
    return name


def _name(name: str, at: Piece) -> str:
    if not _NAME.fullmatch(name):
        at.refuse(f"{name[:60]!r} is no name: letters, digits and _, not beginning with a digit, at most 48")
    if name.lower().startswith(_RESERVED):
        at.refuse(f'"{name}": names that begin with {_RESERVED} are GRIT\'s own; choose another')
    return name


def _refuse_same_but_for_case(section: Section) -> None:
    """Databases fold the case of tables and columns: two names that differ in nothing else would be one."""
    seen: dict[str, str] = {}
    for name, at, _ in section:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            at.refuse(f'"{name}" and "{other}" differ in case only, which databases do not see: rename one')
