# Shared by the set-up scripts: read with `source`.

say() { printf '%s\n' "$*" >&2; }

# The command that gives root's rights, or nothing where there is none without asking for a password.
if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    as_root=()
fi

# Whether apt_install can work here.
can_apt() { [ "${#as_root[@]}" -gt 0 ] && command -v apt-get >/dev/null 2>&1; }

# Install Debian packages; a stale package list is refreshed once.
apt_install() {
    say "Installing with apt: $*"
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@")
    "${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }
}
