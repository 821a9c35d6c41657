"""One optional process for one core: starts ended containers again and runs health checks after an apply has ended.

Containers do not depend on it. Everything it knows is in the records, so that one that was killed is simply started
again, by the next change. It ends when no container needs it.

    policy      when, and after what pause, an ended container is started again (pure)
    schedule    when a health check runs and what its results mean (pure)
    place       the core's roots, and the supervisor's own files
    records     what it reads and writes of the core's records
    unit        the process as a transient service of systemd, where that runs
    client      the side of the command: is it alive, start it, end it, wake it
    check       one health check that runs
    watch       one container's run
    helper      the short-lived process that starts containers again (``restart``); only it loads the whole core
    shared      what the four below share, and what they wait for
    restarting  what becomes of ended containers
    checking    health checks begun and ended
    rotating    logs cut
    loop        waits for ends, results and times, and has the three act
    daemon      becomes the one process: session, cgroup, log, lock, signals

The resident part imports only the standard library and rooms that do: a process that mostly sleeps should be small.
"""
