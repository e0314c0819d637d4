# shellcheck shell=sh
# The project's .venv, sourced by the scripts beside it, which set `root` to the checkout.
#
# .venv is made of layers, each from one lock file with hashes: `runtime` is what supernode runs
# on, `test` adds the tools of tests and checks, `build`, in a venv of its own, what makes the
# executable. A layer's stamp says what it was made from and is written last, so a layer that was
# interrupted, or whose files have changed, is made again.
#
# supernode itself is installed in editable form by its own build backend, which is in the
# runtime lock: `supernode` and `importlib.metadata` then work as in any installation, and
# nothing about them is written here a second time.

venv=${root:?}/.venv

say() { printf 'supernode: %s\n' "$*" >&2; }

# Says what this machine lacks and ends with EX_UNAVAILABLE.
lacks() {
    say "$@"
    exit 69
}

# exclusively COMMAND…: one at a time in this checkout, and nothing on stdout.
exclusively() (
    flock 9
    "$@"
) 9<"$root/packaging/environment.sh" >&2

# Prints the newest Python that pyproject.toml's requires-python allows and that can make a venv.
fitting_python() {
    for python in python3.13 python3.12 python3.11 python3; do
        if "$python" -Ic 'if True:
            import ensurepip, sys, venv
            sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# missing_packages [PACKAGE…]: prints those Debian packages that are not installed, and
# python3-venv if .venv is to be made and no Python here can.
missing_packages() {
    fresh runtime || fitting_python >/dev/null || echo python3-venv
    command -v dpkg-query >/dev/null || return 0 # not Debian: the tests will say what they miss
    for package; do
        # shellcheck disable=SC2016 # dpkg's variable
        status=$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null) || status=unknown
        [ "$status" = installed ] || echo "$package"
    done
}

install_packages() {
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || say "package lists not refreshed, trying with those there are"
    apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install "$@" >/dev/null
}

# require_packages [PACKAGE…]: installs what is missing or prints the command that does.
require_packages() {
    # shellcheck disable=SC2046 # one word a package
    set -- $(missing_packages "$@")
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null || lacks "please install: $*"
    [ "$(id -u)" = 0 ] || lacks "please run: sudo apt-get install -y $*"
    exclusively install_packages "$@"
}

# Prints what the layer's stamp must say. Scripts in a venv hold its path, hence the first line;
# the system's Python may have gone or changed under it, hence the second.
stamp_of() {
    echo "$venv"
    "$venv/bin/python" -ISc 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || :
    case $1 in
        runtime) set -- pyproject.toml packaging/requirements.lock ;;
        test) set -- packaging/requirements-test.lock ;;
        build) set -- packaging/requirements-build.lock ;;
    esac
    (cd "$root" && sha256sum packaging/environment.sh "$@")
}

fresh() { [ "$(cat "$venv/$1.stamp" 2>/dev/null)" = "$(stamp_of "$1")" ]; }

pip_install() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check install "$@"; }

# Wheels only: a source distribution would fetch a build backend that no lock names.
install_lock() { pip_install --require-hashes --only-binary :all: -r "$root/packaging/$1"; }

make_runtime() {
    python=$(fitting_python) || lacks "needs Python 3.11, 3.12 or 3.13 with its venv module"
    say "making ${venv#"$root/"} with $python"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    install_lock requirements.lock
    pip_install --no-index --no-deps --no-build-isolation -e "$root"
}

make_test() {
    say "adding the tools of tests and checks to ${venv#"$root/"}"
    install_lock requirements-test.lock
}

make_build() {
    say "adding PyInstaller to ${venv#"$root/"}"
    install_lock requirements-build.lock
}

make_layer() {
    if fresh "$1"; then return; fi # somebody else made it while this process waited
    rm -f "$venv/$1.stamp"
    "make_$1"
    stamp_of "$1" >"$venv/$1.stamp"
}

# provide LAYER…: leaves a .venv with these layers, the lower one first.
provide() {
    for layer; do
        if ! fresh "$layer"; then exclusively make_layer "$layer"; fi
    done
}
