"""Ctrl-C and SIGTERM at critical moments of taking a snapshot."""

from __future__ import annotations

import signal
import threading

import pytest

from tests.conftest import Inv, Live
from tests.support.proxy import Exchange, Hold, faulty
from tests.support.world import assert_error, ended, tree, wait_until

SNAPSHOTS = r"/collections/[^/]+/snapshots"
DOWNLOAD = SNAPSHOTS + r"/[^/]+"
COUNT = r"/collections/[^/]+/points/count"
MOMENTS = {
    "counting": ("POST", COUNT, "before", 0),
    "asking": ("POST", SNAPSHOTS, "before", 0),
    "made": ("POST", SNAPSHOTS, "after", 0),
    "downloading": ("GET", DOWNLOAD, "halfway", 0),
    "downloaded": ("POST", COUNT, "before", 1),
}


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        *((moment, signal.SIGINT) for moment in MOMENTS),
        ("asking", signal.SIGTERM),
        ("downloading", signal.SIGTERM),
    ],
)
def test_nothing_half_made_is_left(
    qdrant: Live, name: str, outside: Inv, moment: str, number: signal.Signals
) -> None:
    """Whenever it is interrupted: 130, an empty folder, no server copy."""
    qdrant.loader.plain(name, points=300)
    method, path, how, skipped = MOMENTS[moment]
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        if skipped:
            proxy.on(method, path, lambda e: e.answer(e.forward()), times=skipped)
        proxy.on(method, path, getattr(hold, how), times=1)
        process = outside.start("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        hold.wait()
        process.send_signal(number)
        hold.release.set()
        ran = ended(process)
    assert_error(ran, 130)
    assert tree(outside.root / "qdrant_snapshots") == []
    assert qdrant.loader.server_snapshots(name) == []


def test_interrupted_while_the_server_copy_is_deleted(
    qdrant: Live, name: str, outside: Inv
) -> None:
    """At the very end, the catalogued snapshot is complete, and the server copy is deleted."""
    qdrant.loader.plain(name, points=50)
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        proxy.on("DELETE", DOWNLOAD, hold.before, times=1)
        process = outside.start("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        hold.wait()
        process.send_signal(signal.SIGINT)
        hold.release.set()
        ran = ended(process)
    assert ran.code == 130
    assert tree(outside.root / "qdrant_snapshots") == []
    wait_until(lambda: qdrant.loader.server_snapshots(name) == [], seconds=5)


def test_interrupted_while_reconciling(qdrant: Live, name: str, outside: Inv) -> None:
    """The connection was lost and the list is being watched at Ctrl-C: no server copy stays."""
    qdrant.loader.plain(name, points=50)
    hold, made = Hold(), threading.Event()

    def lose_and_make_late(exchange: Exchange) -> None:
        exchange.drop()
        hold.pause()
        exchange.forward()
        made.set()

    with faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, lose_and_make_late, times=1)
        process = outside.start("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        hold.wait()
        wait_until(lambda: proxy.requests("GET", SNAPSHOTS) >= 2)
        process.send_signal(signal.SIGINT)
        hold.release.set()
        ran = ended(process)
        assert_error(ran, 130)
        assert tree(outside.root / "qdrant_snapshots") == []
        assert made.wait(10)
    assert qdrant.loader.server_snapshots(name) == []


def test_a_second_ctrl_c_does_not_disturb_the_cleaning_up(
    qdrant: Live, name: str, outside: Inv
) -> None:
    """An impatient user who interrupts twice leaves no server copy either."""
    qdrant.loader.plain(name, points=50)
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, hold.before, times=1)
        process = outside.start("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        hold.wait()
        process.send_signal(signal.SIGINT)
        wait_until(lambda: proxy.requests("GET", SNAPSHOTS) >= 2)
        process.send_signal(signal.SIGINT)
        hold.release.set()
        ran = ended(process)
    assert ran.code == 130
    assert "Traceback" not in ran.stderr
    assert tree(outside.root / "qdrant_snapshots") == []
    assert qdrant.loader.server_snapshots(name) == []
