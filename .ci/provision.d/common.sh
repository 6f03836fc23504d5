# shellcheck shell=bash
# Sourced by every piece of .ci/provision.d.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
# A non-login shell may lack the folders of dockerd, debootstrap and iptables.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

CI_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/qdrant-snapshot-tasks
# shellcheck disable=SC2034  # the pieces use it
readonly CI_DIR CACHE_DIR
mkdir -p "$CACHE_DIR"

die() {
  printf 'provision: %s\n' "$*" >&2
  exit 1
}

apt_get() {
  apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# A folder that is gone when the piece ends; in the cache, so that a rename out of it is atomic.
scratch_dir() {
  SCRATCH=$(mktemp -d "$CACHE_DIR/.scratch.XXXXXX")
  trap 'rm -rf "$SCRATCH"' EXIT
}

# step WHAT IS_THERE MAKE [ARG...]: runs MAKE ARG... unless IS_THERE ARG... holds, and prints one line.
step() {
  local what=$1 is_there=$2 make=$3 began=$SECONDS log status
  shift 3
  if "$is_there" "$@" &>/dev/null; then
    printf '%-46s already there\n' "$what"
    return
  fi
  log=$(mktemp)
  # Not `if (…)`: bash ignores errexit in everything that a condition runs.
  set +e
  (set -e && "$make" "$@") </dev/null &>"$log"
  status=$?
  set -e
  if ((status)); then
    printf '%-46s FAILED\n' "$what"
    tail -n 40 "$log" >&2
    rm -f "$log"
    exit "$status"
  fi
  rm -f "$log"
  "$is_there" "$@" &>/dev/null || die "$what: made without an error, yet still not there"
  printf '%-46s %d s\n' "$what" "$((SECONDS - began))"
}
