"""Real servers with the protocols of stores: moto for S3, Azurite for Azure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snapshot_tasks.storage.base import Store
from snapshot_tasks.storage.stores import open_store
from tests.support.ports import free_ports
from tests.support.proxy import Exchange, Proxy, faulty
from tests.support.world import wait_until
from tools.tasks.needs import AZURITE

S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "us-east-1",
}
# moto only uses this to find out which service is meant, and verifies nothing.
S3_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host, Signature=0"
)
AZURE_ACCOUNT = "devstoreaccount1"
# Azurite's own key, the same everywhere.
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@dataclass(frozen=True)
class Bucket:
    """A bucket for one test: its URL, the variables that reach it, and its server."""

    url: str
    variables: Mapping[str, str]
    server: str = ""

    def open(self, **variables: str) -> Store:
        """Return the store that the code under test creates for it."""
        return open_store(self.url, {**self.variables, **variables})

    @contextmanager
    def behind_proxy(self) -> Iterator[tuple[Bucket, Proxy]]:
        """Reach it for the block through a proxy that can break things."""
        with faulty(self.server) as proxy:
            through = {
                name: value.replace(self.server, proxy.url)
                for name, value in self.variables.items()
            }
            yield replace(self, variables=through), proxy


def s3_client(endpoint: str) -> Any:
    """Return a client that is independent of the code under test."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=S3_KEYS["AWS_REGION"],
        aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
    )


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server for the block; yield its URL."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port):
        yield f"http://127.0.0.1:{port}"


def s3_bucket(endpoint: str, name: str, *, locked: bool = False) -> Bucket:
    """Create a bucket, with an object lock and versions if `locked`."""
    s3_client(endpoint).create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked)
    variables = {**S3_KEYS, "AWS_ENDPOINT_URL": endpoint}
    return Bucket(f"s3://{name}/some/prefix", variables, endpoint)


@contextmanager
def gcs_bucket(endpoint: str, name: str) -> Iterator[Bucket]:
    """Create a bucket that Google's protocol reaches, through a translator to the S3 server.

    No emulator of Google's service accepts what the library sends. Google's XML API is like that of
    S3, except for the header that asks for a new object, and the credentials, which are not tested
    here.
    """
    s3_client(endpoint).create_bucket(Bucket=name)
    with faulty(endpoint) as translator:
        for method in ("GET", "PUT", "DELETE"):
            translator.on(method, ".*", _translate)
        account = {
            "gcs_base_url": translator.url,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        variables = {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account), "GOOGLE_ALLOW_HTTP": "true"}
        yield Bucket(f"gs://{name}/some/prefix", variables, translator.url)


def _translate(exchange: Exchange) -> None:
    exchange.set_header("Authorization", S3_AUTHORIZATION)
    exchange.decode_path("-", "/")
    if exchange.header("x-goog-if-generation-match") == "0":
        exchange.set_header("If-None-Match", "*")
    exchange.answer(exchange.forward())


@contextmanager
def azure_server(folder: Path) -> Iterator[str]:
    """Run Azurite for the block; yield the URL of its account."""
    (port,) = free_ports(1)
    command = [str(AZURITE), "--location", str(folder), "--blobPort", str(port), "--silent"]
    with _running([*command, "--disableTelemetry"], port):
        yield f"http://127.0.0.1:{port}"


def azure_bucket(server: str, name: str) -> Bucket:
    """Create a container."""
    date, version = format_datetime(datetime.now(UTC), usegmt=True), "2021-08-06"
    resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    text = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    signed = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(signed).decode()}",
        "Content-Length": "0",
    }
    connection = http.client.HTTPConnection(urlsplit(server).netloc)
    connection.request("PUT", f"/{AZURE_ACCOUNT}/{name}?restype=container", headers=headers)
    assert connection.getresponse().status == 201
    connection.close()
    variables = {
        "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
        "AZURE_STORAGE_ENDPOINT": f"{server}/{AZURE_ACCOUNT}",
    }
    return Bucket(f"az://{name}/some/prefix", variables, server)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(port))
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return bool(connection.getresponse().status)
    except OSError:
        return False
    finally:
        connection.close()
