# What apt-get makes of a root, in a chroot, from given archives and nothing else.
# Usage: apt.sh ROOT EPOCH     with the archives in ROOT/debs
set -eu
root=$1 epoch=$2

printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
hostname estaleiro
mount -t proc proc "$root/proc"
mount -t tmpfs dev "$root/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
ln -s /proc/self/fd "$root/dev/fd"
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
  DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true SOURCE_DATE_EPOCH="$epoch" \
  chroot "$root" sh -c 'exec apt-get install -y --no-install-recommends -o APT::Sandbox::User=root \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold /debs/*.deb' </dev/null
rm -r "$root/debs" "$root/usr/sbin/policy-rc.d"
