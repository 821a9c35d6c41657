"""Entry of the process: ``python -m bayplan.runtime.native.supervisor SETTINGS_FILE READY_FD``."""

import os
import sys

if __name__ == "__main__":
    # Before anything is loaded: the caller waits for this process, and nobody has to wait for its child.
    # As a unit, systemd does, and knows it by this very pid.
    if os.environ.get("BAYPLAN_SUPERVISOR_UNIT") != "1" and os.fork():
        os._exit(0)
    from bayplan.runtime.native.supervisor.daemon import main

    sys.exit(main(sys.argv[1], int(sys.argv[2])))
