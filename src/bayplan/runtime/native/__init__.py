"""The daemonless core: OCI images, crun under conmon, overlayfs, netlink and nftables."""
