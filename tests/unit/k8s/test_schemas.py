"""Every object is what the API servers of the supported versions accept, without a field that they do not know."""

import kubernetes_validate
import pytest

from tests.unit.k8s.rendered import FOLDERS, name_of, render

OLDEST, NEWEST = "1.30", "1.37"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_valid_for_the_api(folder: str, version: str) -> None:
    for one in render(folder):
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{name_of(one)}, {'.'.join(map(str, error.path))}: {error.message}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_object_is_there_twice(folder: str) -> None:
    names = [name_of(one) for one in render(folder)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_whatever_has_a_namespace_is_in_the_one_that_is_made(folder: str) -> None:
    cluster_wide = ("Namespace", "PersistentVolume")
    namespaces = {one["metadata"].get("namespace") for one in render(folder) if one["kind"] not in cluster_wide}
    (made,) = (one["metadata"]["name"] for one in render(folder) if one["kind"] == "Namespace")
    assert namespaces == {made}
