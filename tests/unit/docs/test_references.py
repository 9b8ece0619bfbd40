"""What the documents point to is there: pages, files, modules, tests; and every error code is explained."""

import re
from pathlib import Path

import pytest

from grit.core.errors import Code

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md"))
_CODE_PATH = re.compile(r"`((?:grit|gtm|dbtm|log_players|tests|proto|sample_services)/[\w./]+?)(?:::(\w+))?`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as those who render Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file) if file else path
        assert linked.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors_of(linked), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_code_and_tests_that_a_page_names_are_there(page: str) -> None:
    for file, test in _CODE_PATH.findall((ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / file).exists(), f"{page}: {file}"
        if test:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{page}: {file}::{test}"


def test_the_guide_explains_every_error_code_with_its_kind() -> None:
    page = (DOCS / "guide/sdk.md").read_text(encoding="utf-8")
    explained = dict(re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \|", page, re.MULTILINE))
    assert explained == {code.value: code.kind.value for code in Code}
