"""Settings come from the environment, then `.env`; all problems are reported at once, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.versions import DEFAULT_VERSION
from snapshot_tasks.settings import Settings, load_settings, load_watching
from snapshot_tasks.system.errors import SettingsError

Make = Callable[..., Settings]


def dotenv(project: Path, text: str) -> None:
    """Write the project's `.env`."""
    project.mkdir(exist_ok=True)
    (project / ".env").write_text(text, encoding="utf-8")


def problems(make: Make, **environment: str) -> str:
    """Return the error message for these settings."""
    with pytest.raises(SettingsError) as caught:
        make(**environment)
    assert caught.value.exit_code == 14
    return caught.value.message


def test_nothing_needs_to_be_set(make_settings: Make, project: Path) -> None:
    """The defaults are the documented ones."""
    made = make_settings()
    assert made.qdrant.url == made.engine.url == "http://localhost:6333"
    assert (made.engine.http_port, made.engine.grpc_port) == (6333, 6334)
    assert made.collection == "informasi-umum-itb"
    assert made.snapshot_dir == project / "qdrant_snapshots"
    assert (made.engine.live, made.engine.drill) == ("auto", "auto")
    assert (made.engine.version, made.qdrant.api_key, made.engine.binary) == (
        DEFAULT_VERSION,
        None,
        None,
    )
    assert made.engine.compose_files == ()


def test_the_environment_wins_over_dotenv(make_settings: Make, project: Path) -> None:
    """Each name is read from the environment first, then from `.env`, then from the defaults."""
    dotenv(project, "QDRANT_COLLECTION_NAME=from-file\nQDRANT_VERSION=1.16.3\n")
    made = make_settings(QDRANT_COLLECTION_NAME="from-environment")
    assert (made.collection, made.engine.version) == ("from-environment", "1.16.3")
    assert made.engine.grpc_port == 6334


def test_an_empty_variable_does_not_hide_dotenv(make_settings: Make, project: Path) -> None:
    """Compose and CI systems set unknown variables to an empty value, which means not set."""
    dotenv(project, "QDRANT_COLLECTION_NAME=from-file\n")
    assert make_settings(QDRANT_COLLECTION_NAME="").collection == "from-file"


def test_the_process_environment_is_the_default(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an explicit environment, the environment of the process counts."""
    monkeypatch.setenv("QDRANT_COLLECTION_NAME", "books")
    assert load_settings(project).collection == "books"


def test_dotenv_has_quotes_comments_and_export(make_settings: Make, project: Path) -> None:
    """`.env` is read by python-dotenv."""
    dotenv(
        project,
        "# the stack\n\nexport QDRANT_COLLECTION_NAME='my books'  # all\nQDRANT_API_KEY=\"a#b\"\n",
    )
    made = make_settings()
    assert (made.collection, made.qdrant.api_key) == ("my books", "a#b")


def test_every_wrong_setting_is_told_at_once(make_settings: Make, tmp_path: Path) -> None:
    """One error lists each wrong setting with the expected and the given value."""
    message = problems(
        make_settings,
        QDRANT_URL="localhost:6333",
        QDRANT_ENGINE="podman",
        QDRANT_DRILL_ENGINE="external",
        QDRANT_VERSION="latest",
        QDRANT_BINARY=str(tmp_path / "nothing"),
        QDRANT_HTTP_PORT="0",
        QDRANT_GRPC_PORT="http",
        QDRANT_OPERATION_TIMEOUT_SECONDS="-1",
        QDRANT_API_KEY_FILE="nowhere.txt",
    )
    for expected in (
        "QDRANT_URL: expected a URL such as http://localhost:6333, got 'localhost:6333'",
        "QDRANT_ENGINE: expected one of auto, compose, native, external, got 'podman'",
        "QDRANT_DRILL_ENGINE: expected one of auto, compose, native, got 'external'",
        "QDRANT_VERSION: expected a version such as",
        "QDRANT_BINARY: expected the path of an executable file",
        "QDRANT_HTTP_PORT: expected a port number from 1 to 65535, got '0'",
        "QDRANT_GRPC_PORT: expected a port number from 1 to 65535, got 'http'",
        "QDRANT_OPERATION_TIMEOUT_SECONDS: expected a number of seconds greater than 0, got '-1'",
        "QDRANT_API_KEY_FILE: expected the path of a readable text file",
    ):
        assert expected in message
    assert message.count(": expected ") == 9


@pytest.mark.parametrize(
    "value", ["65536", "-1", "+1", "1.0", "６３３３", "²", "6333 6334", "6" * 5000]
)
def test_a_port_is_a_plain_number(make_settings: Make, value: str) -> None:
    """Anything but a port is refused by name."""
    assert "QDRANT_HTTP_PORT" in problems(make_settings, QDRANT_HTTP_PORT=value)


@pytest.mark.parametrize("value", ["0", "0.0", "1e3", "nan", "inf", "5s", "-0.1", "9" * 400])
def test_a_duration_is_a_plain_number_above_zero(make_settings: Make, value: str) -> None:
    """Anything but a duration is refused by name."""
    message = problems(make_settings, QDRANT_OPERATION_TIMEOUT_SECONDS=value)
    assert "QDRANT_OPERATION_TIMEOUT_SECONDS" in message


@pytest.mark.parametrize("value", ["1.17", "1", "1.17.0; rm", "1.17.0/../x", "v", "one.two.three"])
def test_a_version_is_a_version(make_settings: Make, value: str) -> None:
    """A version becomes part of paths and image names, so nothing else is accepted."""
    assert "QDRANT_VERSION" in problems(make_settings, QDRANT_VERSION=value)


def test_a_version_carries_no_v(make_settings: Make) -> None:
    """The compose file adds a v, so another one would name an image that does not exist."""
    assert make_settings(QDRANT_VERSION="1.16.3").engine.version == "1.16.3"
    with pytest.raises(SettingsError, match="without a leading v"):
        make_settings(QDRANT_VERSION="v1.16.3")


@pytest.mark.parametrize(
    "value",
    [
        "localhost",
        "ftp://localhost",
        "http://",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://[::1",
    ],
)
def test_a_url_has_scheme_and_host(make_settings: Make, value: str) -> None:
    """Anything but an HTTP URL is refused by name."""
    assert "QDRANT_URL" in problems(make_settings, QDRANT_URL=value)


@pytest.mark.parametrize(
    "value",
    [
        "http://user:hunter2@host:6333",
        "https://hunter2@host",
        "http://user:hunter2@host:99999",
        "ftp://user:hunter2@host",
        "http://user:hunter2@",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(make_settings: Make, value: str) -> None:
    """A password in `QDRANT_URL` is refused, and never printed, however wrong the rest is."""
    message = problems(make_settings, QDRANT_URL=value)
    assert "QDRANT_URL" in message
    assert "hunter2" not in message


def test_a_url_loses_its_last_slash(make_settings: Make) -> None:
    """Both ways to write a URL mean the same."""
    assert (
        make_settings(QDRANT_URL="https://qdrant.example/").qdrant.url == "https://qdrant.example"
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_local_url_gives_the_port(make_settings: Make, host: str) -> None:
    """The port of a URL on this machine does not have to be set twice."""
    made = make_settings(QDRANT_URL=f"http://{host}:7333")
    assert made.qdrant.is_local
    assert (made.engine.http_port, made.engine.url) == (7333, "http://localhost:7333")


def test_a_remote_url_gives_no_port(make_settings: Make) -> None:
    """The port on another machine says nothing about this one."""
    made = make_settings(QDRANT_URL="http://qdrant.example:7333")
    assert not made.qdrant.is_local
    assert made.engine.http_port == 6333


def test_a_port_gives_the_url(make_settings: Make) -> None:
    """A URL does not have to be set besides a port."""
    assert make_settings(QDRANT_HTTP_PORT="7333").qdrant.url == "http://localhost:7333"


def test_an_explicit_port_stands(make_settings: Make) -> None:
    """An explicit setting is never derived."""
    made = make_settings(QDRANT_URL="http://localhost:7333", QDRANT_HTTP_PORT="8333")
    assert (made.qdrant.url, made.engine.http_port) == ("http://localhost:7333", 8333)


@pytest.mark.parametrize(
    "environment",
    [
        {"QDRANT_HTTP_PORT": "7000", "QDRANT_GRPC_PORT": "7000"},
        {"QDRANT_HTTP_PORT": "6334"},
        {"QDRANT_URL": "http://localhost:6334"},
    ],
)
def test_two_ports_cannot_be_one(make_settings: Make, environment: dict[str, str]) -> None:
    """One port cannot serve both HTTP and gRPC, whether it is set or derived."""
    assert "QDRANT_GRPC_PORT: must differ" in problems(make_settings, **environment)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("QDRANT_URL http://localhost\n", 1),
        ("A=1\n=2\n", 2),
        ("A=1\n# fine\nB='open\n", 3),
        ("A=1\n\n\nQDRANT_URL: http://localhost\n", 4),
    ],
)
def test_a_malformed_line_is_named(
    make_settings: Make, project: Path, text: str, line: int
) -> None:
    """A line of `.env` that cannot be read is reported by its number, as in an editor."""
    dotenv(project, text)
    assert f".env line {line}: expected NAME=value" in problems(make_settings)


def test_a_malformed_line_does_not_print_its_content(make_settings: Make, project: Path) -> None:
    """The wrong line may be the one that contains the key."""
    dotenv(project, "QDRANT_API_KEY 'hunter2'\nQDRANT_ENGINE=podman\n")
    assert "hunter2" not in problems(make_settings)


def test_a_dotenv_that_is_no_text_is_told(make_settings: Make, project: Path) -> None:
    """A binary `.env` is a wrong setting, not a crash; other problems are reported as well."""
    project.mkdir()
    (project / ".env").write_bytes(b"A=\xff\xfe\n")
    message = problems(make_settings, QDRANT_ENGINE="podman")
    assert ".env: expected a readable UTF-8 text file" in message
    assert "QDRANT_ENGINE" in message


def test_a_dotenv_from_windows_is_read(make_settings: Make, project: Path) -> None:
    """A byte order mark and CRLF, as Notepad writes them, do not hide a setting."""
    project.mkdir()
    (project / ".env").write_bytes(b"\xef\xbb\xbfQDRANT_VERSION=1.16.3\r\nQDRANT_ENGINE=native\r\n")
    made = make_settings()
    assert (made.engine.version, made.engine.live) == ("1.16.3", "native")


def test_the_key_can_stand_in_a_file(make_settings: Make, project: Path) -> None:
    """The content of a secret file is the key, without the line end; paths start at the project."""
    project.mkdir()
    (project / "key.txt").write_text("hunter2\n", encoding="utf-8")
    assert make_settings(QDRANT_API_KEY_FILE="key.txt").qdrant.api_key == "hunter2"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\xfd"])
def test_a_key_file_without_a_key_is_refused(
    make_settings: Make, project: Path, content: bytes
) -> None:
    """An empty or binary key file would send no key at all."""
    project.mkdir()
    (project / "key.txt").write_bytes(content)
    assert "QDRANT_API_KEY_FILE" in problems(make_settings, QDRANT_API_KEY_FILE="key.txt")


def test_what_stands_for_the_key_file_is_not_repeated(make_settings: Make) -> None:
    """If the key itself is set there by mistake, it does not appear in a log."""
    message = problems(make_settings, QDRANT_API_KEY_FILE="hunter2")
    assert "QDRANT_API_KEY_FILE" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("key", ["hunter2\nhunter3", "hunter2\thunter3", "hunter2é", "hunter2\x07"])
@pytest.mark.parametrize("where", ["QDRANT_API_KEY", "QDRANT_API_KEY_FILE"])
def test_a_key_that_no_header_carries_is_refused(
    make_settings: Make, project: Path, where: str, key: str
) -> None:
    """A library would put such a key into its error; here only the name is reported."""
    project.mkdir()
    (project / "key.txt").write_text(key, encoding="utf-8")
    message = problems(make_settings, **{where: key if where == "QDRANT_API_KEY" else "key.txt"})
    assert f"{where}: must be one line of printable ASCII characters" in message
    assert "hunter" not in message


def test_hosts_that_may_see_the_key_are_names(make_settings: Make) -> None:
    """A comma-separated list; host names are in lower case."""
    made = make_settings(QDRANT_ALLOW_PLAINTEXT_KEY="qdrant, Vector.Internal,")
    assert made.qdrant.plaintext_key_hosts == ("qdrant", "vector.internal")
    assert make_settings().qdrant.plaintext_key_hosts == ()


def test_tls_files_are_files_and_come_in_pairs(make_settings: Make, project: Path) -> None:
    """A certificate without its key, or a file that does not exist, is reported by name."""
    project.mkdir()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (project / name).write_text("-", encoding="utf-8")
    made = make_settings(
        QDRANT_TLS_CA_FILE="ca.pem", QDRANT_TLS_CERT_FILE="cert.pem", QDRANT_TLS_KEY_FILE="key.pem"
    )
    paths = (made.qdrant.tls.ca_file, made.qdrant.tls.cert_file, made.qdrant.tls.key_file)
    assert paths == (project / "ca.pem", project / "cert.pem", project / "key.pem")
    alone = problems(make_settings, QDRANT_TLS_CERT_FILE="cert.pem", QDRANT_TLS_CA_FILE="no.pem")
    assert "QDRANT_TLS_KEY_FILE: must be set together with QDRANT_TLS_CERT_FILE" in alone
    assert "QDRANT_TLS_CA_FILE: expected a readable file in PEM format, got 'no.pem'" in alone


@pytest.mark.parametrize("url", ["http://host:6333?api-key=hunter2", "http://host/#hunter2"])
def test_a_url_ends_with_its_path(make_settings: Make, url: str) -> None:
    """Manifests contain the URL, so anything that could hide a secret is refused unrepeated."""
    message = problems(make_settings, QDRANT_URL=url)
    assert "QDRANT_URL" in message
    assert "hunter2" not in message


def test_two_keys_are_one_too_many(make_settings: Make, project: Path) -> None:
    """With both a key and a key file, it would be unclear which one counts."""
    project.mkdir()
    (project / "key.txt").write_text("other", encoding="utf-8")
    message = problems(make_settings, QDRANT_API_KEY="hunter2", QDRANT_API_KEY_FILE="key.txt")
    assert "QDRANT_API_KEY_FILE: cannot be set together with QDRANT_API_KEY" in message
    assert "hunter2" not in message


def test_the_key_is_in_no_repr(make_settings: Make) -> None:
    """Settings can be logged, because the key is not shown."""
    made = make_settings(QDRANT_API_KEY="hunter2")
    assert made.qdrant.api_key == "hunter2"
    assert "hunter2" not in repr(made) + str(made)


@pytest.mark.parametrize(
    ("engine", "drill"),
    [("native", "native"), ("compose", "compose"), ("external", "auto"), ("auto", "auto")],
)
def test_drills_follow_the_engine(make_settings: Make, engine: str, drill: str) -> None:
    """Drills run in the engine of the live Qdrant, unless that is managed elsewhere."""
    assert make_settings(QDRANT_ENGINE=engine).engine.drill == drill
    assert make_settings(QDRANT_ENGINE=engine, QDRANT_DRILL_ENGINE="native").engine.drill == (
        "native"
    )


def test_paths_are_relative_to_the_project(make_settings: Make, project: Path) -> None:
    """Relative paths mean the same files wherever `inv` is called; absolute paths stay."""
    made = make_settings(QDRANT_SNAPSHOT_DIR="backup/here", COMPOSE_FILE="a.yml:/etc/b.yml")
    assert made.snapshot_dir == project / "backup" / "here"
    assert made.engine.compose_files == (project / "a.yml", Path("/etc/b.yml"))
    assert make_settings(QDRANT_SNAPSHOT_DIR="/backup").snapshot_dir == Path("/backup")


def test_compose_files_have_the_separator_of_compose(make_settings: Make, project: Path) -> None:
    """`COMPOSE_PATH_SEPARATOR` is a setting of Compose, and means the same here."""
    made = make_settings(COMPOSE_FILE="a.yml;b.yml", COMPOSE_PATH_SEPARATOR=";")
    assert made.engine.compose_files == (project / "a.yml", project / "b.yml")


def test_empty_parts_are_no_compose_files(make_settings: Make, project: Path) -> None:
    """A separator at the end does not name the project's folder."""
    made = make_settings(COMPOSE_FILE="a.yml::b.yml:")
    assert made.engine.compose_files == (project / "a.yml", project / "b.yml")


def test_off_site_has_rules_of_its_own_or_the_same(make_settings: Make) -> None:
    """Many there, few here: one rule there replaces all of those here."""
    here = make_settings(QDRANT_KEEP_DAILY="3", QDRANT_KEEP_MINIMUM="2")
    assert here.keep_offsite == here.keep == Policy(keep_daily=3, keep_minimum=2)
    made = make_settings(QDRANT_KEEP_DAILY="3", QDRANT_OFFSITE_KEEP_MONTHLY="12")
    assert (made.keep, made.keep_offsite) == (Policy(keep_daily=3), Policy(keep_monthly=12))
    assert "QDRANT_OFFSITE_KEEP_LAST" in problems(make_settings, QDRANT_OFFSITE_KEEP_LAST="few")


@pytest.mark.parametrize("value", ["-1", "1.5", "²", "9" * 5000])
def test_a_count_is_a_plain_number(make_settings: Make, value: str) -> None:
    """Anything but a count is refused by name, also one that Python refuses to convert."""
    assert "QDRANT_KEEP_LAST" in problems(make_settings, QDRANT_KEEP_LAST=value)


def test_a_binary_is_an_executable_file(make_settings: Make, tmp_path: Path) -> None:
    """A folder or a file that is not executable is not a binary."""
    binary = tmp_path / "qdrant"
    binary.write_text("#!/bin/sh\n", encoding="utf-8")
    binary.chmod(0o644)
    for wrong in (binary, tmp_path):
        assert "QDRANT_BINARY" in problems(make_settings, QDRANT_BINARY=str(wrong))
    binary.chmod(0o755)
    assert make_settings(QDRANT_BINARY=str(binary)).engine.binary == binary


def test_compose_sees_what_the_settings_say(make_settings: Make) -> None:
    """The stack gets exactly these settings; without a key it gets none, not an empty one."""
    settings = make_settings(QDRANT_HTTP_PORT="7333", QDRANT_GRPC_PORT="7334")
    seen = settings.compose_environment(is_own_file=True)
    assert (seen["QDRANT_HTTP_PORT"], seen["QDRANT_GRPC_PORT"]) == ("7333", "7334")
    assert "QDRANT_API_KEY" not in seen
    assert "QDRANT_VERSION" not in seen
    seen = make_settings(QDRANT_API_KEY="k").compose_environment(is_own_file=True)
    assert seen["QDRANT_API_KEY"] == "k"
    seen = make_settings(QDRANT_URL="http://localhost:7333").compose_environment(is_own_file=True)
    assert seen["QDRANT_HTTP_PORT"] == "7333"


def test_a_users_compose_file_sees_only_what_compose_cannot_read(project: Path) -> None:
    """Nothing that would beat its `.env` or its own defaults; what tasks.py sets, it sees."""
    environment = {"QDRANT_VERSION": "1.16.3", "QDRANT_URL": "http://localhost:7333"}
    made = load_settings(project, environment, defaults={"QDRANT_GRPC_PORT": 7334})
    assert made.compose_environment(is_own_file=False) == {"QDRANT_GRPC_PORT": "7334"}


@pytest.mark.parametrize("name", ["QDRANT_PING_URL", "QDRANT_WEBHOOK_URL"])
@pytest.mark.parametrize("value", ["ftp://host/secret", "secret", "http://h:0/secret", "http://[x"])
def test_a_wrong_url_of_an_alarm_is_not_repeated(
    make_settings: Make, name: str, value: str
) -> None:
    """The value may contain a token, so only the name of the setting is shown."""
    said = problems(make_settings, **{name: value})
    assert name in said
    assert value not in said


def test_whom_a_task_tells(make_settings: Make, project: Path) -> None:
    """There is none by default; credentials, a query and the placeholder stay unchanged."""
    made = make_settings().watching
    assert (made.ping_url, made.webhook_url, made.metrics_file) == (None, None, None)
    assert made.webhook_on == "failure"
    url = "https://user:password@example.com/key/{task}?create=1"
    made = make_settings(
        QDRANT_PING_URL=url, QDRANT_WEBHOOK_ON="always", QDRANT_METRICS_FILE="x.prom"
    ).watching
    assert (made.ping_url, made.webhook_on) == (url, "always")
    assert made.metrics_file == project / "x.prom"
    assert "password" not in repr(make_settings(QDRANT_PING_URL=url))
    assert "QDRANT_WEBHOOK_ON" in problems(make_settings, QDRANT_WEBHOOK_ON="never")


def test_whom_to_tell_is_known_whatever_else_is_wrong(project: Path) -> None:
    """A wrong setting ends every run, and that is when an alarm is needed most."""
    dotenv(project, "QDRANT_PING_URL=http://h/a\nQDRANT_METRICS_FILE=/m.prom\n")
    environment = {"QDRANT_ENGINE": "podman", "QDRANT_WEBHOOK_URL": "nonsense"}
    watching = load_watching(project, environment)
    assert (watching.ping_url, watching.webhook_url) == ("http://h/a", None)
    assert watching.metrics_file == Path("/m.prom")


def test_a_hook_is_split_as_a_shell_does(make_settings: Make) -> None:
    """Words and quotes, no variables; an open quote is reported without showing the value."""
    assert make_settings().post_create_hook == ()
    made = make_settings(QDRANT_POST_CREATE_HOOK="copy 'my files' $HOME")
    assert made.post_create_hook == ("copy", "my files", "$HOME")
    said = problems(make_settings, QDRANT_POST_CREATE_HOOK="copy 'secret")
    assert "QDRANT_POST_CREATE_HOOK" in said
    assert "secret" not in said


def test_off_site_places_are_urls_or_folders(make_settings: Make, project: Path) -> None:
    """Several, separated by commas, each once; a relative folder is in the project."""
    made = make_settings(QDRANT_OFFSITE_URL="s3://b/p/, copies,s3://b/p, file:///mnt/a%20b,gs://c")
    folders = (str(project / "copies"), "/mnt/a b")
    assert made.offsite.urls == ("s3://b/p", folders[0], folders[1], "gs://c")
    assert make_settings().offsite.urls == ()


@pytest.mark.parametrize(
    "url", ["ftp://b", "s3://", "s3://key:hush-hush@b", "s3://b?secret=hush-hush", "file://host/x"]
)
def test_an_off_site_place_holds_no_secret(make_settings: Make, url: str) -> None:
    """It is refused without repeating it, because it may be a password."""
    message = problems(make_settings, QDRANT_OFFSITE_URL=url)
    assert message.startswith("QDRANT_OFFSITE_URL: expected")
    assert "hush" not in message


def test_recipients_are_keys_or_a_file_of_them(make_settings: Make, project: Path) -> None:
    """The same keys in any order are the same recipients; an identity is never repeated."""
    one, two = ("age1" + character * 58 for character in "qz")
    project.mkdir()
    (project / "keys").write_text(f"# ours\n{two}\n\n{one}\n")
    assert make_settings(QDRANT_AGE_RECIPIENTS=f"{two}, {one}").offsite.age_recipients == (one, two)
    assert make_settings(QDRANT_AGE_RECIPIENTS="keys").offsite.age_recipients == (one, two)
    for wrong in ("nokeys", f"{one},age1short", "AGE-SECRET-KEY-1HUSH"):
        message = problems(make_settings, QDRANT_AGE_RECIPIENTS=wrong)
        assert "HUSH" not in message
    (project / "keys").write_text("AGE-SECRET-KEY-1HUSH\n")
    assert "HUSH" not in problems(make_settings, QDRANT_AGE_RECIPIENTS="keys")


def test_the_stores_own_variables_come_from_dotenv_too(make_settings: Make, project: Path) -> None:
    """All variables with the prefixes of the stores, and no others; they are never shown."""
    dotenv(project, "AWS_SECRET_ACCESS_KEY=hush\nAWS_REGION=here\nMY_AWS=no\n")
    made = make_settings(AWS_REGION="there", AZURE_STORAGE_ACCOUNT_NAME="me", HOME="/x")
    assert made.offsite.store_variables == {
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_REGION": "there",
        "AZURE_STORAGE_ACCOUNT_NAME": "me",
    }
    assert "hush" not in repr(made)


def test_defaults_of_a_tasks_py_come_last(project: Path) -> None:
    """The environment wins over `.env`, and `.env` over the values from `ns.configure`."""
    project.mkdir()
    (project / ".env").write_text("QDRANT_HTTP_PORT=7001\nQDRANT_GRPC_PORT=\n", encoding="utf-8")
    defaults = {
        "QDRANT_COLLECTION_NAME": "docs",
        "QDRANT_HTTP_PORT": 7002,
        "QDRANT_GRPC_PORT": 7003,
        "QDRANT_SNAPSHOT_DIR": Path("backups"),
        "QDRANT_ENGINE": "native",
        "QDRANT_BINARY": None,
    }
    made = load_settings(project, {"QDRANT_ENGINE": "external"}, defaults=defaults)
    assert (made.collection, made.engine.http_port, made.engine.grpc_port) == ("docs", 7001, 7003)
    assert made.snapshot_dir == project / "backups"
    assert made.engine.live == "external"
    assert made.engine.binary is None
    watching = load_watching(project, {}, defaults=defaults)
    assert watching.snapshot_dir == project / "backups"


def test_wrong_defaults_are_told_like_any_setting(project: Path) -> None:
    """A wrong value, an unknown name, a value of the wrong type: all are reported at once."""
    defaults = {
        "QDRANT_ENGINE": "magic",
        "QDRANT_COLECTION_NAME": "docs",
        "QDRANT_HTTP_PORT": [6333],
        "AWS_REGION": "eu",
    }
    with pytest.raises(SettingsError) as wrong:
        load_settings(project, {}, defaults=defaults)
    assert "QDRANT_ENGINE: expected one of" in wrong.value.message
    assert "QDRANT_COLECTION_NAME: expected the name of a setting" in wrong.value.message
    assert "QDRANT_HTTP_PORT: expected a text or a number" in wrong.value.message
    assert "AWS_REGION" not in wrong.value.message
    assert "tasks.py" in wrong.value.hint
    with pytest.raises(SettingsError, match="qdrant_snapshots: expected"):
        load_settings(project, {}, defaults="docs")  # type: ignore[arg-type]


def test_compose_is_told_of_defaults_it_cannot_find(project: Path) -> None:
    """Compose reads the environment and `.env` itself, which win; it does not read tasks.py."""
    defaults = {"COMPOSE_PROJECT_NAME": "mine", "COMPOSE_FILE": "stack.yml"}
    made = load_settings(project, {"COMPOSE_FILE": "other.yml"}, defaults=defaults)
    seen = made.compose_environment(is_own_file=False)
    assert seen["COMPOSE_PROJECT_NAME"] == "mine"
    assert "COMPOSE_FILE" not in seen
    assert made.engine.compose_files == (project / "other.yml",)
