"""What makes environments the same: tags held to digests by a lock file, and a fingerprint of all that is declared.

lockfile     the file itself
upstream     what a registry has under a name, for every platform
locking      a lock made, checked and moved on
pins         a declaration held to a lock
canonical    a declaration as dotted places and values, the same on every host
fingerprint  its digest, with what may differ set apart
"""
