# What the scripts share; each begins with it. Goes to the root of the source tree. For -h and --help it prints the
# head of the script, and the options of $python_program where the script names one, and ends.
cd "$(dirname "$0")/.."
script=scripts/$(basename "$0")
build=${NETC_BUILD:-build}

say() { printf '== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$script" "$*" >&2; exit 1; }

# takes_no_more "$@": refuses what is left of the arguments.
takes_no_more() { [ $# = 0 ] || fail "unknown argument: $1 (see --help)"; }

# install_wheels FOLDER PIP_ARGUMENT ...: makes a virtual environment anew, in a folder that is ours.
install_wheels() {
  say "installing ${*:2} into $1"
  python3 -m venv --clear "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}

# use_peers PACKAGE ...: lets `python` be one that has them: that of $PEERS, which stays as it is, or one in the build
# folder, which gets them in the versions of benchmarks/requirements.txt.
use_peers() {
  python=${PEERS:-$build/peers}/bin/python
  if [ -z "${PEERS:-}" ]; then
    say "installing into $build/peers what it lacks of: $*"
    "$python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$build/peers"
    "$python" -m pip install --quiet --disable-pip-version-check -c benchmarks/requirements.txt "$@"
  else
    local error
    error=$("$python" -c "import $(IFS=,; echo "$*")" 2>&1) ||
      fail "$python has not all of $*: ${error##*$'\n'}. Install benchmarks/requirements.txt there, or unset PEERS: \
then they are installed into $build/peers"
  fi
}

case " $* " in
  *' -h '* | *' --help '*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script"
    if [ -n "${python_program:-}" ] && command -v python3 >/dev/null; then
      echo
      python3 "$python_program" --help
    fi
    exit 0
    ;;
esac
