# What apt-get makes of a root, in a chroot.
# Usage: apt.sh ROOT EPOCH COMMANDS     where apt_get stands for apt-get as everybody without a terminal calls it
set -eu
root=$1 epoch=$2 commands=$3

printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
hostname estaleiro
mount -t proc proc "$root/proc"
mount -t tmpfs dev "$root/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$root/dev/"
ln -s /proc/self/fd "$root/dev/fd"
apt_get='apt_get() {
  command apt-get -y --no-install-recommends -o APT::Sandbox::User=root \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io "$@"
}'
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
  DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true SOURCE_DATE_EPOCH="$epoch" \
  chroot "$root" sh -euc "$apt_get
$commands" </dev/null
rm "$root/usr/sbin/policy-rc.d"
