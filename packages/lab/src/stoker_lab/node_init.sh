#!/bin/sh
# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# First process of a lab node: in fresh namespaces, builds the node's file tree and becomes its systemd.
# usage: node_init.sh NAME NODE_FOLDER LOWER[:LOWER...]
set -eu
name=$1
folder=$2
lower=$3
root=$folder/root

bind() { # source, target file
    : >"$2"
    mount --bind "$1" "$2"
}

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$root"
hostname "$name"

mount -t tmpfs tmpfs "$root/run" -o mode=755,nosuid,nodev,size=256m
mount -t tmpfs tmpfs "$root/tmp" -o mode=1777,nosuid,nodev

# The node may tune its own network, and read but not write the rest of the kernel's settings.
mount -t proc proc "$root/proc" -o nosuid,nodev,noexec
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,rw "$root/proc/sys/net"
# The kernel's boot id is the machine's; a node that starts anew must be seen to have done so.
cat /proc/sys/kernel/random/uuid >"$root/run/.boot-id"
mount --bind "$root/run/.boot-id" "$root/proc/sys/kernel/random/boot_id"

mount -t sysfs sysfs "$root/sys" -o ro,nosuid,nodev,noexec
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" -o nosuid,nodev,noexec

mount -t tmpfs tmpfs "$root/dev" -o mode=755,nosuid,size=4m
for device in null zero full random urandom tty; do
    bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net"
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=620,gid=5
mount -t tmpfs tmpfs "$root/dev/shm" -o mode=1777,nosuid,nodev
if [ -e /dev/net/tun ]; then
    bind /dev/net/tun "$root/dev/net/tun"
fi
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec </dev/null >/dev/null 2>&1
# A node must not set the machine's clock, load modules or touch raw devices; root may do all else in it.
exec /usr/bin/setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin,-mac_override,-wake_alarm \
    /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=lab /lib/systemd/systemd
