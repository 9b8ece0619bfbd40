"""The catalogue of `grit dev` without a configuration: three realms of three kinds on embedded parts."""

from pathlib import Path

from grit.config.load import parse_config
from grit.config.model import Config

SOURCE = "the built-in catalogue"
BUILTIN_REALMS = """\
realms:
  orders:                                  # relational
    engine: sqlite
    url: var/orders.db
    collections:
      orders:
        key: [order_id]
        fields: {order_id: string(40), customer: string(40), product: string(40), qty: int, total_cents: int, status: string(16)}
        check: ["total_cents >= 0", "status in ('open', 'paid', 'cancelled')"]
      stock:
        key: [product]
        fields: {product: string(40), on_hand: int, sold: int}
        bounds: {on_hand: {min: 0}}        # increments never go below it
  carts:                                   # document
    engine: document
    url: var/carts.db
    collections:
      carts:
        key: [customer]
        fields: {customer: string(40), items: "list?", status: "string(16)?"}
  social:                                  # graph
    engine: graph
    url: var/social.db
    collections:
      Customer:
        key: [customer]
        fields: {customer: string(40), name: "string(80)?"}
      Product:
        key: [product]
        fields: {product: string(40), name: "string(80)?"}
      PURCHASED:
        start: Customer
        end: Product
        fields: {qty: "int?", order_id: "string(40)?"}
"""
"""Also what `grit init` starts a project with."""


def builtin_config(directory: Path) -> Config:
    """Return the built-in catalogue with its logs and databases under `directory`, which need not exist yet."""
    return parse_config(f"log: {{kind: embedded, path: var/log}}\n{BUILTIN_REALMS}", SOURCE, directory.absolute(), {})
