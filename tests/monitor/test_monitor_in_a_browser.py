"""The page in Chromium: a trade appears while the session runs, the kill switch is pressed, the
session halts. Skipped without playwright or without Chromium.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor.monitored import TOKEN, monitor_of, run_paced

from harmony_pipeline.monitor.server import MonitorServer
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.process_control import KILL

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright==1.65.2"
)
CHROMIUM = (
    os.environ.get("HARMONY_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_a_trade_appears_and_the_kill_switch_halts_the_session(
    browser: Any, tmp_path: Path
) -> None:
    said: list[str] = []
    (tmp_path / "logs").mkdir()
    with MonitorServer(monitor_of(tmp_path)) as server:
        page = browser.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "console",
            lambda message: said.append(message.text) if message.type == "error" else None,
        )
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(server.url)
        page.wait_for_selector("#problem:has-text('no session has run here yet')")
        thread, _stream = run_paced(tmp_path, 0.05, hold_at=9)
        page.wait_for_selector("#fills tbody tr")
        page.wait_for_selector("#watch tbody tr[aria-selected=true]")
        assert page.inner_text("#state") == "running"
        assert page.inner_text("#scanner").count("<b>X</b>") == 1  # text, not markup
        page.click("#kill")
        page.fill("#reason", "seen in the browser")
        page.fill("#token", "not the token")
        page.click("#dialog-go")
        page.wait_for_selector("#dialog-answer:has-text('the token is wrong')")
        assert not (tmp_path / KILL).exists()
        page.fill("#token", TOKEN)
        page.click("#dialog-go")
        page.wait_for_selector("#state:has-text('killed')")
        thread.join()
        assert page.inner_text("#risk-state") == "HALTED"
        assert "kill switch: seen in the browser" in page.inner_text("#events")
        assert page.locator("#token").input_value() == ""
        page.click("#rearm")
        page.fill("#token", TOKEN)
        page.click("#dialog-go")
        page.wait_for_selector("#rearm", state="hidden")
        page.close()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        row = ledger.sessions()[0]
        assert (row.state, row.reason) == ("killed", "seen in the browser (monitor)")
        assert not ledger.open_orders(row.account)
    assert not (tmp_path / KILL).exists()
    assert all(url.startswith(server.url) for url in requests)
    assert [line for line in said if "403" not in line] == []
