#!/usr/bin/env bash
# Build the Debian package, and install, upgrade, remove and purge it in a copy of this
# machine, which is thrown away: an overlay over all of its files.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)

if [ "${1:-}" != inside ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1 # quicker
    env -u DEBFULLNAME -u DEBEMAIL \
        bash "$source/deploy/debian/build.sh" "$work" > "$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
    lintian --allow-root --fail-on error "$work"/shellstream_*.deb
    echo 'ok: lintian'
    # A later version: the same files, and a new default in the configuration.
    dpkg-deb --raw-extract "$work"/*.deb "$work/next"
    sed -i 's/^Version: .*/&.1/' "$work/next/DEBIAN/control"
    echo '# of the next version' >> "$work/next/etc/shellstream/shellstream.toml"
    dpkg-deb --root-owner-group --build "$work/next" "$work/next.deb" > "$work/log"
    rm -r "$work/next"
    mkdir "$work"/{upper,work,root}
    # Its mounts end with the process.
    $([ "$(id -u)" = 0 ] || echo sudo) unshare --mount --pid --fork bash "$0" inside "$work"
    exit
fi

work=$2
mount -t overlay overlay "$work/root" \
    -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work"
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"
cp "$work"/shellstream_*.deb "$work/root/mnt/first.deb"
cp "$work/next.deb" "$work/root/mnt/next.deb"
in_copy() { chroot "$work/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent "$@"; }
as_user() { in_copy runuser -u shellstream -- "$@"; }
dpkg_() { in_copy DEBIAN_FRONTEND=noninteractive dpkg --force-confold "$@" > "$work/log" 2>&1 || { cat "$work/log"; return 1; }; }
cd /

dpkg_ --install /mnt/first.deb
test "$(as_user shellstream demo 2> /dev/null | tr '\n' ' ')" = '1 2 3 '
test "$(in_copy stat -c %U /etc/shellstream/shellstream.toml)" = root
in_copy shellstreamd --config /etc/shellstream/shellstream.toml --check > "$work/log" 2> "$work/warned"
test ! -s "$work/warned" || { cat "$work/warned"; exit 1; }
in_copy systemd-analyze verify --man=no shellstream.service shellstream.socket
test -L "$work/root/etc/systemd/system/multi-user.target.wants/shellstream.service"
test ! -L "$work/root/etc/systemd/system/sockets.target.wants/shellstream.socket"
for page in shellstream.1 shellstream.toml.5 shellstreamd.8; do
    manual=/usr/share/man/man${page##*.}/$page.gz
    in_copy test -s "$manual"
    for named in $(in_copy zcat "$manual" | grep -o '/usr/share/[a-z./]*[a-z]' || true); do
        in_copy test -e "$named"
    done
done
echo 'ok: installed'

# As systemd would run it.
in_copy install -d -o shellstream -g shellstream -m 700 /var/lib/shellstream
state='--state-dir /var/lib/shellstream'
# shellcheck disable=SC2086  # two words
as_user sh -c "umask 077 && shellstreamd $state tokens make pi > ~/token" 2> "$work/log"
line=$(sed -n 's/^ExecStart=//p' "$work/root/usr/lib/systemd/system/shellstream.service")
as_user sh -c "echo \$\$ > ~/pid && exec $line $state --port 0" > "$work/log" 2>&1 &
until url=$(grep -om1 'http://127[^/]*/stream' "$work/log"); do
    kill -0 $! # or it has ended, and the log says why
    sleep 0.1
done
as_user sh -c "shellstream --server ${url%/stream} --token-file ~/token disk" | grep Filesystem > /dev/null
in_copy sh -c 'kill $(cat ~shellstream/pid)'
wait $! || true
echo 'ok: the service streams'

in_copy sed -i 's/^default = .*/& # mine/' /etc/shellstream/shellstream.toml
dpkg_ --install /mnt/next.deb
in_copy grep '# mine' /etc/shellstream/shellstream.toml > "$work/log"
as_user sh -c "shellstreamd $state tokens list" | grep pi > /dev/null
echo 'ok: upgraded, with its configuration and state'

dpkg_ --remove shellstream
test ! -e "$work/root/usr/lib/shellstream" -a ! -e "$work/root/usr/bin/shellstream"
in_copy test -e /var/lib/shellstream/runs.db -a -e /etc/shellstream/shellstream.toml
echo 'ok: removed, without its configuration and state'

dpkg_ --purge shellstream
for left in /var/lib/shellstream /etc/shellstream /usr/share/doc/shellstream; do
    test ! -e "$work/root$left"
done
in_copy sh -c '! find /etc/systemd /var/lib/systemd -name "shellstream*" | grep .'
echo 'ok: purged'
