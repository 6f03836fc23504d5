"""HTTPS with a private CA and client certificates, over REST and gRPC, with a real Qdrant."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint, Tls
from snapshot_tasks.engines.binary import find_binary
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.prove.contents import compare_source
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.guard import tls_context
from snapshot_tasks.qdrant.http import GrpcClosed
from snapshot_tasks.qdrant.points import Reader, read_over_both, read_over_rest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import Unreachable
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Inv, missing, now
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.support.secrets import Authority, make_authority
from tests.support.world import assert_error, end_processes_below, read_manifest

KEY = "unmistakable-key-over-tls"
POINTS = 300


@dataclass(frozen=True)
class Secured:
    """A Qdrant that accepts only HTTPS, and only clients whom its CA knows."""

    endpoint: Endpoint
    loader: Loader
    authority: Authority
    stranger: Authority

    def settings(self, **more: str) -> dict[str, str]:
        """Return what `inv` needs to connect to it."""
        tls = self.endpoint.tls
        return {
            "QDRANT_ENGINE": "external",
            "QDRANT_URL": self.endpoint.url,
            "QDRANT_GRPC_PORT": str(self.endpoint.grpc_port),
            "QDRANT_API_KEY": KEY,
            "QDRANT_TLS_CA_FILE": str(tls.ca_file),
            "QDRANT_TLS_CERT_FILE": str(tls.cert_file),
            "QDRANT_TLS_KEY_FILE": str(tls.key_file),
            **more,
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One such server for the module, with a collection named main."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = make_authority(folder / "ca"), make_authority(folder / "other")
    certificate, key = authority.issue("server", hosts="DNS:localhost")
    client_certificate, client_key = authority.issue("client")
    settings = load_settings(folder, {"QDRANT_VERSION": NEWER})
    binary = find_binary(settings, NEWER)
    if binary is None:
        missing(f"no Qdrant {NEWER} on this machine")
    home = folder / "home"
    home.mkdir()
    http, grpc = free_ports(2)
    environment = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(http),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc),
        "QDRANT__SERVICE__API_KEY": KEY,
        "QDRANT__SERVICE__ENABLE_TLS": "true",
        "QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE": "true",
        "QDRANT__TLS__CERT": str(certificate),
        "QDRANT__TLS__KEY": str(key),
        "QDRANT__TLS__CA_CERT": str(authority.certificate),
        "QDRANT__TELEMETRY_DISABLED": "true",
    }
    process.spawn((str(binary),), cwd=home, env=environment, log=home / "qdrant.log")
    endpoint = Endpoint(
        url=f"https://localhost:{http}",
        api_key=KEY,
        grpc_port=grpc,
        tls=Tls(ca_file=authority.certificate, cert_file=client_certificate, key_file=client_key),
    )
    try:
        with Server(endpoint, operation_timeout_seconds=60) as server:
            server.wait_ready(60)
        loader = Loader(endpoint.url, KEY, verify=tls_context(endpoint.tls))
        loader.plain("main", points=POINTS)
        yield Secured(endpoint, loader, authority, stranger)
        loader.close()
    finally:
        end_processes_below(home)


def test_the_server_lets_no_stranger_in(secured: Secured) -> None:
    """Without a client certificate it does not respond, so the tests below prove something."""
    only_ca = tls_context(Tls(ca_file=secured.endpoint.tls.ca_file))
    with (
        httpx.Client(verify=only_ca, trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get(secured.endpoint.url)


def test_create_compare_and_restore(secured: Secured, catalog: Catalog) -> None:
    """The whole way there and back, over HTTPS."""
    with Server(secured.endpoint, operation_timeout_seconds=60) as server:
        request = CreateRequest(collection="main")
        snapshot = create(request, server, catalog, Silent(), clock=now).snapshot
        assert compare_source(snapshot, secured.endpoint, Silent()).is_same
        back = RestoreRequest(snapshot=snapshot, target="over-tls")
        result = restore(back, server, Silent())
        assert (result.error, result.points_count, result.way) == (None, POINTS, "upload")
        server.collections.delete("over-tls")


def test_points_are_read_over_both(secured: Secured) -> None:
    """The process that reads over gRPC has the same files, and reads the same points."""
    with closing(Reader(secured.endpoint, "main")) as reader:
        both = read_over_both(reader, lambda count: None)
        rest = read_over_rest(reader, lambda count: None)
    assert both.digest == rest.digest
    assert both.points_count == POINTS


@pytest.mark.parametrize("wrong", ["no CA", "wrong CA"])
def test_grpc_trusts_nobody_else(secured: Secured, wrong: str) -> None:
    """A server that the CA does not know gets neither the key nor a request.

    Qdrant requires a client's certificate only over HTTPS, so only the CA can be tested here.
    """
    other = None if wrong == "no CA" else secured.stranger.certificate
    tls = dataclasses.replace(secured.endpoint.tls, ca_file=other)
    with closing(Reader(secured.endpoint, "main")) as reader:
        reader.endpoint = dataclasses.replace(secured.endpoint, tls=tls)
        with pytest.raises(GrpcClosed):
            read_over_both(reader, lambda count: None)


def test_inv_over_tls(secured: Secured, inv: Inv) -> None:
    """From the settings to the server: take, compare with the source, restore, inspect."""
    settings = secured.settings(QDRANT_COLLECTION_NAME="main")
    for words in (
        ("doctor",),
        ("snapshot.create",),
        ("snapshot.verify", "--level=source"),
        ("snapshot.restore", "--as=by-inv"),
        ("stack.status",),
    ):
        ran = inv(*words, **settings)
        assert ran.code == 0, ran.stdout + ran.stderr
        assert KEY not in ran.stdout + ran.stderr
    assert "by-inv" in ran.stdout
    [file] = (inv.root / "qdrant_snapshots").glob("main_2*.snapshot")
    assert read_manifest(file)["source_url"] == secured.endpoint.url
    secured.loader.request("DELETE", "/collections/by-inv")


@pytest.mark.parametrize("wrong", ["no CA", "wrong CA", "no certificate", "other CA", "host name"])
def test_no_trust_is_13(secured: Secured, inv: Inv, wrong: str) -> None:
    """Whatever is wrong with the certificates: 13, immediately, and which settings to check."""
    certificate, key = secured.stranger.issue("stranger")
    changes = {
        "no CA": {"QDRANT_TLS_CA_FILE": ""},
        "wrong CA": {"QDRANT_TLS_CA_FILE": str(secured.stranger.certificate)},
        "no certificate": {"QDRANT_TLS_CERT_FILE": "", "QDRANT_TLS_KEY_FILE": ""},
        "other CA": {"QDRANT_TLS_CERT_FILE": str(certificate), "QDRANT_TLS_KEY_FILE": str(key)},
        "host name": {"QDRANT_URL": secured.endpoint.url.replace("localhost", "127.0.0.1")},
    }
    settings = secured.settings(**changes[wrong])
    ran = inv("snapshot.create", "--collection=main", **settings)
    assert_error(ran, 13, "QDRANT_TLS_CA_FILE", "QDRANT_TLS_CERT_FILE", "QDRANT_TLS_KEY_FILE")
    assert KEY not in ran.stdout + ran.stderr


def test_nobody_waits_for_a_wrong_certificate(secured: Secured) -> None:
    """Waiting does not fix a certificate."""
    tls = dataclasses.replace(secured.endpoint.tls, ca_file=secured.stranger.certificate)
    endpoint = dataclasses.replace(secured.endpoint, tls=tls)
    with (
        Server(endpoint, operation_timeout_seconds=5) as server,
        pytest.raises(Unreachable, match="Could not establish a trusted connection"),
    ):
        server.wait_ready(600)


def test_swapped_files_are_14(secured: Secured, inv: Inv) -> None:
    """A key in place of the certificate is a wrong setting, reported without contacting anyone."""
    tls = secured.endpoint.tls
    settings = secured.settings(
        QDRANT_TLS_CERT_FILE=str(tls.key_file), QDRANT_TLS_KEY_FILE=str(tls.cert_file)
    )
    assert_error(inv("stack.status", **settings), 14, "QDRANT_TLS_CERT_FILE")


def test_plain_http_to_https_is_13(secured: Secured, inv: Inv) -> None:
    """The wrong scheme is named, because no server responds to it."""
    settings = secured.settings(QDRANT_URL=secured.endpoint.url.replace("https", "http"))
    assert_error(inv("stack.status", **settings), 13, "QDRANT_URL")


def test_a_key_file_with_a_password_asks_nobody(secured: Secured, inv: Inv, tmp_path: Path) -> None:
    """OpenSSL would ask for it on the terminal, but a cron job has none."""
    locked = tmp_path / "locked.key"
    plain = str(secured.endpoint.tls.key_file)
    argv = ["openssl", "pkcs8", "-topk8", "-in", plain, "-out", str(locked), "-passout", "pass:x1"]
    subprocess.run(argv, check=True, capture_output=True)
    ran = inv("stack.status", **secured.settings(QDRANT_TLS_KEY_FILE=str(locked)))
    assert_error(ran, 14, "QDRANT_TLS_KEY_FILE", "password")


def test_plain_http_on_a_port_with_tls(secured: Secured, inv: Inv) -> None:
    """The remedy is https://."""
    url = secured.endpoint.url.replace("https:", "http:")
    ran = inv("stack.status", **secured.settings(QDRANT_URL=url))
    assert_error(ran, 13, url)
    assert "https://" in ran.stderr
