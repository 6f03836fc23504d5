"""A workflow for GitHub Actions."""

from __future__ import annotations

from snapshot_tasks.schedule.request import Command, Request, Schedule, is_secret
from snapshot_tasks.system.errors import SettingsError

NAME = "qdrant-snapshot.yml"
# The only folder in which GitHub looks for workflows.
FOLDER = ".github/workflows"
# Other kinds of stores use other variables: docs/offsite.md.
_STORE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_HEAD = """\
# Takes a snapshot of your Qdrant, proves that it restores, and uploads the proof; by
# `{origin}`. The snapshot itself is deleted with the runner, so that people who can
# read the artifacts of the repository cannot read your data.
# It needs a runner that can reach Qdrant (over HTTPS, because the key is sent there), the variables
# {variables}
# and the secrets
# {secrets}
# Times are UTC. GitHub may start late, and disables schedules after 60 days without activity in the
# repository.
"""


def workflow(request: Request) -> Schedule:
    """Return the workflow. Each run proves its own snapshot, since the next runner has no copy."""
    variables = ["QDRANT_URL"] + ([] if request.all else ["QDRANT_COLLECTION_NAME"])
    secrets = ["QDRANT_API_KEY"]
    if request.push:
        variables.append("QDRANT_OFFSITE_URL")
        names = list(request.store_names)
        if not any(map(is_secret, names)):
            names += _STORE
        secrets += filter(is_secret, names)
        variables += [name for name in names if not is_secret(name)]
    environment = {name: f"${{{{ vars.{name} }}}}" for name in variables}
    environment |= {name: f"${{{{ secrets.{name} }}}}" for name in secrets}
    environment["QDRANT_ENGINE"] = "external"
    if request.push:
        environment |= _quoted(request.rules)
    if request.push and request.recipients:
        # Public keys: fixed here, so that nobody can forget them and push unencrypted copies.
        environment["QDRANT_AGE_RECIPIENTS"] = f'"{",".join(request.recipients)}"'
    command = request.command
    _refuse_unknown_source(command)
    head = _HEAD.format(origin=command.origin, variables=_and(variables), secrets=_and(secrets))
    lines = "".join(f"      {name}: {value}\n" for name, value in environment.items())
    text = head + _BODY.format(
        cron=request.creates.cron,
        environment=lines,
        # The runner's own folder is empty at first, so there is something to prune only off-site.
        create=" ".join((command.task("snapshot.create"), *request.which, *request.push_tasks)),
        drill=" ".join(request.drill_tasks),
        proof=_push_proof(command) if request.push else "",
        program=command.name,
        report=command.task("report"),
        install=f"      - run: {command.install}\n" if command.install else "",
    )
    install = (f"git add {NAME}",)
    return Schedule(folder=FOLDER, files={NAME: text}, install=install)


def _refuse_unknown_source(command: Command) -> None:
    """Raise `SettingsError` if nothing says where the tasks are installed from.

    A guess by name could install somebody else's package on a runner that has the API key.
    """
    if not command.is_launcher and not command.install:
        raise SettingsError(
            "Neither requirements.txt nor pyproject.toml here requires qdrant-snapshot-tasks, so a"
            " workflow cannot install it.",
            hint="Add it to requirements.txt, with the place it comes from.",
        )


def _push_proof(command: Command) -> str:
    return _PUSH_PROOF.format(program=command.name, push=command.task("snapshot.push"))


def _quoted(settings: dict[str, str]) -> dict[str, str]:
    """Return numbers as the texts that they are for a setting."""
    return {name: f'"{value}"' if value.isdigit() else value for name, value in settings.items()}


def _and(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


_PUSH_PROOF = """\
      - name: Push the proof
        if: always()
        run: {program} {push} --all
"""
_BODY = """\
name: Qdrant snapshot
on:
  workflow_dispatch:
  schedule:
    - cron: "{cron}"

permissions:
  contents: read

# A late run must not overlap with the next one; a run is never cancelled halfway.
concurrency:
  group: qdrant-snapshot
  cancel-in-progress: false

jobs:
  snapshot:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    env:
{environment}\
    steps:
      - name: Check that QDRANT_URL is set
        run: |
          if [ -z "$QDRANT_URL" ]; then
            echo "::error::The variable QDRANT_URL is not set, so no snapshot was taken."
            exit 1
          fi
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
{install}\
      - run: {program} {create}
      - run: {program} {drill} --junit test-results/restore.xml
{proof}\
      - name: Write the report
        if: always()
        run: {program} {report} --output test-results/report.html
      - name: Upload the proof
        if: always()
        uses: actions/upload-artifact@v4
        with:
          name: restore-proof
          path: |
            qdrant_snapshots/*.proofs.jsonl
            test-results
          retention-days: 30
"""
