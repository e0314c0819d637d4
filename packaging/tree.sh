# shellcheck shell=sh
# What packages of both kinds install; sourced by the scripts that make them, after environment.sh.
#
# Packages of the same dist/supernode, made in the same checkout, are the same byte by byte: all
# times in them are that of the commit, or what SOURCE_DATE_EPOCH says.

program=${root:?}/dist/supernode
: "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$program")}"
export SOURCE_DATE_EPOCH
umask 022

[ -x "$program" ] || lacks "there is no dist/supernode; please run: packaging/build"
"$program" version >/dev/null || lacks "dist/supernode does not run here"

# Prints who answers for the package: whom the environment names, as Debian's tools do, or who made
# the commit.
maintainer() {
    if [ "${DEBEMAIL:-}" ]; then
        echo "${DEBFULLNAME:-$DEBEMAIL} <$DEBEMAIL>"
    else
        git -C "$root" log -1 --format='%an <%ae>' || lacks "please say who you are in DEBEMAIL"
    fi
}

# Prints the version of dist/supernode.
program_version() { "$program" version | cut -d ' ' -f 1; }

# Prints the oldest C library that dist/supernode is sure to run with: the one it was made with.
c_library() { getconf GNU_LIBC_VERSION | cut -d ' ' -f 2; }

# put MODE SOURCE TARGET
put() { install -D -m "$1" "$2" "$3"; }

# make_tree DIRECTORY: lays out in it the root of a file system with what a package installs.
make_tree() {
    documents=$work/documents
    PYTHONPATH=$root "$venv/bin/python" "$root/packaging/documents.py" "$documents"
    put 755 "$program" "$1/usr/bin/supernode"
    for unit in "$root"/systemd/*; do
        put 644 "$unit" "$1/usr/lib/systemd/system/${unit##*/}"
    done
    put 644 "$documents/supernode.toml" "$1/etc/supernode/supernode.toml"
    for page in "$documents"/man/*; do
        put 644 "$page" "$1/usr/share/man/man${page##*.}/${page##*/}"
    done
    gzip -9n "$1"/usr/share/man/man*/*
    put 644 "$documents/completion/bash/supernode" \
        "$1/usr/share/bash-completion/completions/supernode"
    put 644 "$documents/completion/fish/supernode.fish" \
        "$1/usr/share/fish/vendor_completions.d/supernode.fish"
}

# same_times DIRECTORY: gives everything in it the time of the commit.
same_times() { find "$1" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +; }
