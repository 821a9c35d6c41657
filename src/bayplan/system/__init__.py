"""The only room with syscalls, mounts, netlink sockets and subprocesses."""
