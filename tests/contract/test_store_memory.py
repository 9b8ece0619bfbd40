"""The store contract on `MemoryStore`."""

from pathlib import Path

import pytest

from grit.core.catalog import RealmDef, Shape
from grit.core.ids import Realm
from grit.store import open as stores
from grit.store.memory import MemoryStore
from grit.store.port import StoreReader, StoreWriter
from tests.contract.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    """Handles on a store in memory are the object itself."""

    engine = "memory"
    shape = Shape.TABLE

    @pytest.fixture(autouse=True)
    def _fresh(self) -> None:
        self.memories: dict[Realm, MemoryStore] = {}

    def open_writer(self, realm: RealmDef, folder: Path) -> StoreWriter:
        return stores.open_writer(realm, self.memories)

    def open_reader(self, realm: RealmDef, folder: Path) -> StoreReader:
        return stores.open_reader(realm, self.memories)
