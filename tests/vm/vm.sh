#!/bin/sh
# A host with cgroup v2 alone: a Debian kernel in qemu (software emulation, some minutes) runs tests/vm/smoke.py, then
# tests that this host's kernel may lack something for (ipvlan, VLAN links, SCTP, project quotas, AppArmor).
#   vm.sh VENV [TEST...]   called by `./run vm`, as root; with TEST only these. The root file system is made once, in VM.
set -eu
VENV=$1
shift
VM=${BAYPLAN_VM:-/var/lib/bayplan-vm}
ROOT=$VM/root
NETWORKS="tests/integration/networks/test_drivers.py tests/integration/networks/test_sctp.py"
TESTS=${*:-$NETWORKS tests/integration/volumes/test_sizes.py tests/integration/containers/test_groups.py \
  tests/integration/containers/test_apparmor.py}
SMOKE=$([ $# -eq 0 ] && echo /opt/bayplan/smoke.py || echo -c pass)
. /etc/os-release
PACKAGES="linux-image-cloud-amd64,kmod,python3,crun,conmon,nftables,aardvark-dns,iproute2,busybox-static,e2fsprogs,xfsprogs,apparmor"

if [ "$(cat "$VM/packages" 2>/dev/null)" != "$PACKAGES" ]; then
  rm -rf --one-file-system "$ROOT" "$ROOT.part"
  printf '== making the root file system\n' >&2
  mkdir -p "$VM"
  # shellcheck disable=SC2046 # a list of files
  mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$VERSION_CODENAME" "$ROOT.part" \
    $(ls /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null)
  mv "$ROOT.part" "$ROOT"
  printf '%s\n' "$PACKAGES" > "$VM/packages"
fi
rm -rf "$ROOT/opt/bayplan"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check --target "$ROOT/opt/bayplan" .
"$VENV/bin/python" -m pip install -q --disable-pip-version-check --target "$ROOT/opt/bayplan" pytest
cp tests/vm/smoke.py tests/busybox.py "$ROOT/opt/bayplan/"
mkdir "$ROOT/opt/bayplan/checkout"
cp -r tests pyproject.toml "$ROOT/opt/bayplan/checkout/"
cat > "$ROOT/init" <<'EOF'
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
if [ ! -e /switched ]; then
  # pivot_root(2), which every container does, is not possible on the first root file system.
  /bin/busybox mount -t tmpfs -o size=90% tmpfs /mnt
  /bin/busybox cp -a /bin /etc /lib* /opt /root /sbin /usr /var /init /mnt/
  /bin/busybox mkdir /mnt/proc /mnt/sys /mnt/dev /mnt/run /mnt/tmp /mnt/mnt
  /bin/busybox touch /mnt/switched
  exec /bin/busybox switch_root /mnt /init
fi
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
for module in overlay bridge veth nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_fib_inet; do modprobe $module; done
ip link set lo up
uname -r; cat /sys/fs/cgroup/cgroup.controllers
for module in dummy ipvlan macvlan 8021q sctp loop ext4 xfs quota_v2; do modprobe $module; done
mkdir -p /var/lib/bayplan-tests
export PYTHONPATH=/opt/bayplan PYTHONDONTWRITEBYTECODE=
cd /opt/bayplan/checkout
python3 @SMOKE@ && python3 -m pytest -q -rs -p no:cacheprovider @TESTS@ &&
  echo "1 passed, 0 failed" || echo "0 passed, 1 failed"
sync; echo o > /proc/sysrq-trigger; sleep 60
EOF
sed -i "s|@SMOKE@|$SMOKE|; s|@TESTS@|$TESTS|" "$ROOT/init"
chmod +x "$ROOT/init"
KERNEL=$(ls "$ROOT"/boot/vmlinuz-* | tail -n 1)
(cd "$ROOT" && find . -path ./boot -prune -o -path ./var/cache -prune -o -print0 | cpio -0 -o -H newc --quiet) > "$VM/initrd"
timeout 2400 qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp 2 -m 4096 -nographic -no-reboot -net none \
  -kernel "$KERNEL" -initrd "$VM/initrd" -append "console=ttyS0 quiet panic=-1" < /dev/null | tee "$VM/log"
grep -q '^1 passed, 0 failed' "$VM/log"
