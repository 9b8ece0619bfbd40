"""One trace of a transaction, from its service to the rows of every database; metrics and health beside it."""

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import grit.client
from grit.telemetry.tracing import configure_tracing, start_span
from sample_services.demo.deployment import HOST, free_ports
from tests.e2e.deployment import Deployment, until

REALMS = ("carts", "orders", "social")


async def _buy(address: str, trace: Path) -> None:
    tracing = configure_tracing(trace, "shop")
    try:
        async with grit.client.connect(address, service="shop") as db:
            with start_span("shop.checkout"):
                async with db.transaction(name="checkout") as txn:
                    await txn.get("carts.carts", "alice")
                    await txn.put("orders.stock", {"product": "lamp", "on_hand": 1, "sold": 0})
                    await txn.put("carts.carts", {"customer": "alice", "items": [], "status": "done"})
                    await txn.put("social.Product", {"product": "lamp", "name": "Lamp"})
    finally:
        tracing.close()


def _spans(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_text().splitlines()] if trace.exists() else []


def _realms(spans: list[dict[str, Any]], name: str) -> set[str]:
    return {span["attributes"]["realm"] for span in spans if span["name"] == name}


def test_a_checkout_is_one_trace_from_the_shop_to_the_apply_of_each_player(own: Deployment) -> None:
    trace, (port,) = own.folder / "trace.jsonl", free_ports(1)
    arguments: list[str | Path] = ["dev", own.config, "--trace-file", trace, "--metrics-port", str(port)]
    own.run("dev", arguments).until_said("ready after")
    asyncio.run(_buy(own.sidecar, trace))
    until(lambda: _realms(_spans(trace), "player.apply") == set(REALMS), lambda: f"three applies in {_spans(trace)}")
    spans = _spans(trace)
    assert len({span["trace_id"] for span in spans}) == 1
    for name in ("dbtm.vote", "dbtm.append", "player.apply"):
        assert _realms(spans, name) == set(REALMS), name
    names = {span["name"] for span in spans}
    assert {"shop.checkout", "client.transaction", "sidecar.read", "sidecar.commit", "gtm.commit"} <= names
    assert all(span["links"] for span in spans if span["name"] == "player.apply"), "applies link to their cause"
    _expect_metrics(port)


def _expect_metrics(port: int) -> None:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=30) as response:
        text = response.read().decode()
    for realm in REALMS:
        assert f'grit_dbtm_lsn{{realm="{realm}"}} 1.0' in text
        assert f'grit_dbtm_leading{{realm="{realm}"}} 1.0' in text
    assert "grit_gtm_committed 1.0" in text
    assert "grit_gtm_leading 1.0" in text
    assert "grit_sidecar_committed_total 1.0" in text
    with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=30) as response:
        assert response.read() == b"ok\n"
