"""The key is in nothing that a task prints, writes or runs, and is only sent where it may be."""

from __future__ import annotations

import base64
import dataclasses
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.qdrant.points import Reader, read_over_both
from tests.conftest import NEWER, Inv, Live, native_qdrant
from tests.integration.conftest import managing
from tests.support.ports import free_ports
from tests.support.proxy import Answer, Exchange, faulty, serving
from tests.support.world import assert_error, end_processes_below

KEY = "unmistakable'k3y\"\\&=/that+nobody-else-has"
# However a library or a format might quote it.
TRACES = (b"unmistakable", b"nobody-else-has", base64.b64encode(KEY.encode())[:16])
# At 10 ms each.
LOOKS = 50
FAR_AWAY = "far.example"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A real Qdrant that requires the key, with one collection."""
    with native_qdrant(NEWER, tmp_path_factory.mktemp("locked"), QDRANT_API_KEY=KEY) as live:
        live.loader.plain("main", points=300)
        yield live


@dataclasses.dataclass
class Sampler:
    """Looks at the arguments of every process of this machine, several times each.

    What a process is started with shows itself at once, or as soon as it has become its program.
    """

    arguments: set[str] = dataclasses.field(default_factory=set)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    def run(self) -> None:
        """Sample until told to stop."""
        looks: Counter[Path] = Counter()
        while not self.stop.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                looks[process] += 1
                if looks[process] <= LOOKS:
                    with suppress(OSError):
                        self.arguments.add((process / "cmdline").read_text(errors="replace"))


@contextmanager
def sampled() -> Iterator[Sampler]:
    """Sample for the block."""
    sampler = Sampler()
    thread = threading.Thread(target=sampler.run)
    thread.start()
    try:
        yield sampler
    finally:
        sampler.stop.set()
        thread.join()


def with_key_from(inv: Inv, url: str, grpc_port: int | None) -> Inv:
    """Return an `inv` whose key is in a file outside the project, like a Docker secret."""
    key_file = inv.root.parent / "secret"
    key_file.write_text(KEY + "\n", encoding="utf-8")
    environment = {
        "QDRANT_ENGINE": "external",
        "QDRANT_DRILL_ENGINE": "native",
        "QDRANT_URL": url,
        "QDRANT_GRPC_PORT": str(grpc_port or ""),
        "QDRANT_API_KEY_FILE": str(key_file),
        "QDRANT_COLLECTION_NAME": "main",
    }
    return dataclasses.replace(inv, environment=inv.environment | environment)


def traces(*places: bytes) -> list[bytes]:
    """Return each trace of the key with the text around it."""
    return [
        place[max(0, place.find(trace) - 80) :][:200]
        for place in places
        for trace in TRACES
        if trace in place
    ]


def written(folder: Path) -> list[bytes]:
    """Return every name and the content of every file in a folder."""
    paths = [p for p in folder.rglob("*") if "__pycache__" not in p.parts]
    return [str(p).encode() for p in paths] + [p.read_bytes() for p in paths if p.is_file()]


def echo(exchange: Exchange) -> None:
    """Refuse as a debugging proxy might: with the whole request in the response."""
    headers = str(exchange._handler.headers).encode()
    exchange.answer(Answer(400, {"Content-Type": "text/plain"}, headers * 3))


SUCCESSES = (
    ("snapshot.create", "--label=first"),
    ("snapshot.list",),
    ("snapshot.show",),
    ("snapshot.verify",),
    ("snapshot.verify", "--level=content"),
    ("snapshot.verify", "--level=source"),
    ("snapshot.restore", "--as=copy"),
    ("snapshot.restore", "--replace", "--yes"),
    ("snapshot.restore", "--all", "--if-missing"),
    ("snapshot.test-restore", "--junit=drill.xml"),
    ("report",),
    ("stack.status",),
    ("doctor",),
    ("demo",),
)
FAILURES = (
    ("snapshot.create", "--collection=nothing"),
    ("snapshot.restore",),
    ("snapshot.restore", "--as=in/valid"),
    ("snapshot.test-restore", "--junit=late.xml", "--max-seconds=0.001"),
    ("snapshot.verify", "--level=nonsense"),
    ("stack.up",),
    ("stack.down",),
    ("stack.logs",),
    ("engine.install", "--version=nonsense"),
)


@pytest.mark.timeout(600)
def test_the_key_is_nowhere(locked: Live, inv: Inv) -> None:
    """Every task, in success and failure: not in output, files, names or process arguments."""
    run = with_key_from(inv, locked.url, locked.fresh.endpoint.grpc_port)
    said: list[bytes] = []
    with sampled() as sampler:
        for tasks, fails in ((SUCCESSES, False), (FAILURES, True)):
            for number, words in enumerate(tasks):
                flags = ("--json",) if number % 2 else ()
                ran = run.process(*words, *flags)
                assert (ran.code != 0) is fails, (words, ran.stdout, ran.stderr)
                said += [ran.stdout.encode(), ran.stderr.encode()]
                if words[-1] == "--as=copy":
                    locked.loader.request("DELETE", "/collections/copy")
    assert (inv.root / "drill.xml").is_file()
    assert any("invoke" in arguments for arguments in sampler.arguments)
    assert any("qdrant" in arguments for arguments in sampler.arguments)
    everything = [*said, *written(inv.root), *(a.encode() for a in sampler.arguments)]
    assert traces(*everything) == []


def test_the_process_that_reads_over_grpc_does_not_show_it(locked: Live) -> None:
    """The key is passed by stdin, because arguments are visible to everyone."""
    with sampled() as sampler, closing(Reader(locked.fresh.endpoint, "main")) as reader:
        assert read_over_both(reader, lambda count: None).points_count > 0
    assert any("points_grpc" in arguments for arguments in sampler.arguments)
    assert traces(*(a.encode() for a in sampler.arguments)) == []


def test_the_selftest_does_not_show_it(locked: Live, inv: Inv) -> None:
    """Nor is it in the page that it writes."""
    run = with_key_from(inv, locked.url, None)
    assert run("snapshot.create").code == 0
    ran = run("snapshot.selftest", "--markdown=page.md", "--junit=faults.xml")
    assert ran.code in (0, 21), ran.stderr
    assert (inv.root / "page.md").is_file()
    assert (inv.root / "faults.xml").read_text(encoding="utf-8").count("<testcase") > 20
    assert traces(ran.stdout.encode(), ran.stderr.encode(), *written(inv.root)) == []


def test_a_stack_does_not_show_it(inv: Inv) -> None:
    """A server of this project gets the key through its environment: no state or log has it."""
    stack = managing(inv)
    settings = {"QDRANT_API_KEY": KEY}
    try:
        with sampled() as sampler:
            runs = [
                stack.process(*words, **settings)
                for words in (
                    ("stack.up",),
                    ("stack.status", "--json"),
                    ("stack.logs",),
                    ("stack.restart",),
                    ("doctor", "--json"),
                    ("stack.down",),
                )
            ]
        modes = {p.name: p.stat().st_mode & 0o777 for p in (inv.root / ".qdrant").iterdir()}
        assert modes["qdrant.log"] == 0o600
        assert (inv.root / ".qdrant").stat().st_mode & 0o777 == 0o700
    finally:
        end_processes_below(inv.root)
    assert [ran.code for ran in runs[:4]] == [0, 0, 0, 0]
    said = [text.encode() for ran in runs for text in (ran.stdout, ran.stderr)]
    assert traces(*said, *written(inv.root), *(a.encode() for a in sampler.arguments)) == []


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_an_answer_that_repeats_the_request_is_cleared(
    locked: Live, inv: Inv, flags: tuple[str, ...]
) -> None:
    """A proxy between here and Qdrant may put the headers into its error page."""
    with faulty(locked.url) as proxy:
        run = with_key_from(inv, proxy.url, None)
        for path in (r"/collections/main", r"/aliases", r"/collections/main/snapshots"):
            for method in ("GET", "POST"):
                proxy.on(method, path, echo, times=1)
            ran = run("snapshot.create", *flags)
            assert ran.code == 1, ran.stderr
            assert "***" in ran.stdout + ran.stderr
            assert traces(ran.stdout.encode(), ran.stderr.encode(), *written(inv.root)) == []
            proxy.rules.clear()


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot.create",),
        ("snapshot.restore", "--as=copy"),
        ("snapshot.verify", "--level=source"),
        ("stack.status",),
        ("doctor",),
    ],
)
def test_a_key_over_plain_http_is_refused(locked: Live, inv: Inv, words: tuple[str, ...]) -> None:
    """24, naming the host and the setting, before anything is sent, even a DNS query."""
    run = with_key_from(inv, locked.url, None)
    assert run("snapshot.create").code == 0
    with recording() as there:
        # This name cannot be resolved; a proxy would be asked for it, and records what it gets.
        ran = run(*words, QDRANT_URL=f"http://{FAR_AWAY}:6333", HTTP_PROXY=there.url, NO_PROXY="")
        assert_error(ran, 24, FAR_AWAY, "QDRANT_ALLOW_PLAINTEXT_KEY")
        assert there.requests == []
        assert traces(ran.stdout.encode(), ran.stderr.encode()) == []


def test_a_key_over_plain_http_can_be_allowed(inv: Inv) -> None:
    """Listed hosts get the key, such as a neighbouring service; without a key, any host is fine."""
    with recording() as there:
        run = with_key_from(inv, f"http://{FAR_AWAY}:6333", None)
        route = {"HTTP_PROXY": there.url, "NO_PROXY": ""}
        ran = run("stack.status", QDRANT_ALLOW_PLAINTEXT_KEY=f"qdrant,{FAR_AWAY}", **route)
        assert ran.code == 13, ran.stderr
        assert [headers["api-key"] for _, headers in there.requests] == [KEY]
        assert run("stack.status", QDRANT_API_KEY_FILE="", **route).code == 13
        assert "api-key" not in there.requests[-1][1]


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_carries_the_key_nowhere(locked: Live, inv: Inv, status: int) -> None:
    """13, saying where it pointed, without possible secrets; nothing is sent there."""
    with recording() as other:
        location = f"{other.url}/elsewhere?token=hush"

        def redirect(exchange: Exchange) -> None:
            exchange.answer(Answer(status, {"Location": location}, b""))

        with faulty(locked.url) as proxy:
            run = with_key_from(inv, proxy.url, None)
            proxy.on("GET", ".*", redirect)
            ran = run("snapshot.create")
            assert_error(ran, 13, str(status), f"{other.url}/elsewhere", "QDRANT_URL")
            assert "hush" not in ran.stderr
            proxy.rules.clear()
            for method, path in (
                ("GET", "/collections/main"),
                ("POST", "/collections/main/snapshots"),
                ("GET", "/collections/main/snapshots/.+"),
            ):
                proxy.on(method, path, redirect)
                ran = run("snapshot.create")
                assert_error(ran, 13, f"{other.url}/elsewhere")
                proxy.rules.clear()
        assert other.requests == []


def test_a_planted_log_is_not_written_through(inv: Inv) -> None:
    """A link where the log should be is an error with a remedy; its target is not touched."""
    victim = inv.root / "victim"
    victim.write_text("precious", encoding="utf-8")
    (inv.root / ".qdrant").mkdir()
    (inv.root / ".qdrant" / "qdrant.log").symlink_to(victim)
    ports = [str(port) for port in free_ports(2)]
    ran = inv("stack.up", QDRANT_HTTP_PORT=ports[0], QDRANT_GRPC_PORT=ports[1])
    try:
        assert_error(ran, 15, "link")
        assert victim.read_text(encoding="utf-8") == "precious"
    finally:
        end_processes_below(inv.root)


@dataclasses.dataclass
class Recording:
    """A server that responds with 404 to everything and records the requests."""

    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = dataclasses.field(default_factory=list)


@contextmanager
def recording() -> Iterator[Recording]:
    """Run such a server for the block."""
    kept = Recording()

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.requests.append((f"{self.command} {self.path}", headers))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    for method in ("GET", "POST", "PUT", "DELETE", "CONNECT"):
        setattr(Handler, f"do_{method}", Handler.do_any)
    with serving(Handler) as url:
        kept.url = url
        yield kept
