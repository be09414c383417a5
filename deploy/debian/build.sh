#!/usr/bin/env bash
# Builds a Debian package of this clone, for the Debian and the architecture on which it
# runs:
#
#   bash deploy/debian/build.sh [FOLDER]    # dist/ without one
#
# Debian's own Twisted is too old, so the package has an environment of Python with all
# that the programs need, in /usr/lib/shellstream. To build it takes pip and binutils, and
# fetches the dependencies from the package index. Who hands the package to others says
# in DEBFULLNAME and DEBEMAIL who maintains it.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "${1:-dist}"
out=$(cd "${1:-dist}" && pwd)
python=/usr/bin/python3 # Debian's: that of the package's dependencies
version=$($python -c 'from shellstream import __version__; print(__version__)')
minor=$($python -c 'import sys; print(sys.version_info.minor)')
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
revision=${DEBIAN_REVISION:-1}
maintainer="${DEBFULLNAME:-The shellstream authors} <${DEBEMAIL:-noreply@shellstream.invalid}>"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
home=$root/usr/lib/shellstream
doc=$root/usr/share/doc/shellstream
umask 022

# The programs.
mkdir -p "$home"
$python -m venv --without-pip "$home"
python3 -m pip --python "$home" --disable-pip-version-check install \
    --quiet --no-compile --root-user-action=ignore '.[doctor,metrics]'
find "$home/bin" -mindepth 1 \
    ! -name 'python*' ! -name shellstream ! -name shellstreamd ! -name twistd -delete
# They stand elsewhere while they are built.
sed -i "1s|^#!$root|#!|" "$home"/bin/{shellstream,shellstreamd,twistd}
sed -i '/^command = /d' "$home/pyvenv.cfg"
find "$home" -name direct_url.json -delete
find "$home" -depth -type d \( -name test -o -name tests -o -name __pycache__ \) \
    -exec rm -r {} +
# Sources and news of the dependencies, and a second copy of our manual pages.
find "$home" -type f \( -name '*.[ch]' -o -name '*.pxd' -o -name '*.pyx' \) -delete
find "$home" -depth -type d -name newsfragments -exec rm -r {} +
rm -rf "$home/share" "$home/include"
find "$home" -name '*.so' -exec strip --strip-unneeded {} +
mkdir -p "$root/usr/bin"
ln -s ../lib/shellstream/bin/{shellstream,shellstreamd} "$root/usr/bin/"

# The service, its user and its configuration.
units=$root/usr/lib/systemd/system
install -D -m 644 -t "$units" deploy/shellstream.service deploy/shellstream.socket
sed -i '1,2d' "$units"/shellstream.{service,socket} # where a copy of them belongs
systemd=$(systemctl --version 2> /dev/null | sed -n '1s/systemd \([0-9]*\).*/\1/p')
if [ "${systemd:-252}" -lt 253 ]; then # as the drop-in for it says
    sed -i -e '/^# Before systemd 253/d' \
        -e 's/^Type=notify-reload$/Type=notify\nExecReload=kill -HUP $MAINPID/' \
        "$units/shellstream.service"
fi
install -D -m 644 deploy/shellstream.sysusers "$root/usr/lib/sysusers.d/shellstream.conf"
install -D -m 644 deploy/shellstream.toml.example "$root/etc/shellstream/shellstream.toml"
mkdir "$root/etc/shellstream/commands.d"
schema=usr/share/shellstream/shellstream.schema.json
install -D -m 644 docs/reference/shellstream.schema.json "$root/$schema"
sed -i "1s|^#:schema .*|#:schema /$schema|" "$root/etc/shellstream/shellstream.toml"

# Documents.
for page in deploy/man/*; do
    install -D -m 644 -t "$root/usr/share/man/man${page##*.}" "$page"
done
gzip -9n "$root"/usr/share/man/*/*
install -D -m 644 -t "$doc" README.md
install -D -m 644 -t "$doc/examples" deploy/shellstream.toml.example
cp -r --no-preserve=mode deploy/shellstream.service.d "$doc/examples/"
gzip -9nc CHANGELOG.md > "$doc/changelog.gz"
gzip -9n > "$doc/changelog.Debian.gz" << END
shellstream ($version-$revision) unstable; urgency=medium

  * Version $version: see changelog.gz.

 -- $maintainer  $(date -uRd "@$epoch")
END
{
    echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
    echo 'Upstream-Name: shellstream'
    printf '\nFiles: *\nCopyright: 2026 The shellstream authors\nLicense: Expat\n'
    sed -n '/^Permission/,$s/^$/./; /^Permission/,$s/^/ /p' LICENSE
    printf '\nFiles: usr/lib/shellstream/lib/*\nCopyright: the authors of each package\n'
    printf 'License: other\n Each package has its license in its folder *.dist-info.\n'
} > "$doc/copyright"

# Completion of the client's command line.
completion() { # SHELL FILE
    mkdir -p "$root/$(dirname "$2")"
    "$home/bin/python" -m shellstream.client completion "$1" > "$root/$2"
}
completion bash usr/share/bash-completion/completions/shellstream
completion zsh usr/share/zsh/vendor-completions/_shellstream
completion fish usr/share/fish/vendor_completions.d/shellstream.fish
find "$home" -depth -type d -name __pycache__ -exec rm -r {} +

# The package.
mkdir "$root/DEBIAN"
install -m 755 -t "$root/DEBIAN" deploy/debian/{postinst,prerm,postrm}
echo /etc/shellstream/shellstream.toml > "$root/DEBIAN/conffiles"
install -D -m 644 deploy/debian/lintian-overrides "$root/usr/share/lintian/overrides/shellstream"
cat > "$root/DEBIAN/control" << END
Package: shellstream
Version: $version-$revision
Architecture: $(dpkg --print-architecture)
Maintainer: $maintainer
Installed-Size: $(du -ks --exclude=DEBIAN "$root" | cut -f1)
Depends: python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~), libc6 (>= 2.28), init-system-helpers (>= 1.54), systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: systemd, procps
Suggests: jq, curl
Section: net
Priority: optional
Homepage: https://pypi.org/project/shellstream-http/
Description: run named commands on one machine, watch them live on another
 The daemon, shellstreamd, runs the commands of a configuration for HTTP clients
 and sends output at the moment it is written. It keeps the output, so that a
 client that lost its connection reads on where it stopped.
 .
 The client, shellstream, follows a run and exits as its command did. Every
 other HTTP client works, too.
END
(cd "$root" && find usr etc -type f -print0 | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
find "$root" -newermt "@$epoch" -exec touch --no-dereference --date "@$epoch" {} +
dpkg-deb --root-owner-group --build "$root" "$out" > /dev/null
echo "$out/shellstream_$version-${revision}_$(dpkg --print-architecture).deb"
