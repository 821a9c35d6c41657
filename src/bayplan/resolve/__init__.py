"""What makes environments the same: tags held to digests by a lock file, and a fingerprint of all that is declared.

In order of dependency:

    beside       where the lock of a declaration lies
    lockfile     the file itself
    upstream     what a registry has under a name, for every platform
    inputs       the files of a build as one digest
    pins         a declaration held to a lock
    locking      a lock made, checked and moved on
    places       fields of models as dotted places and values
    canonical    a declaration in places, the same on every host
    fingerprint  its digest, with what may differ set apart
    report       what one environment declares and runs
    compare      environments compared
    page         a comparison as HTML
    bundle       an environment in one file
"""
