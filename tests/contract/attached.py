"""A process that joins its standard streams to a container: ``attached.py SETTINGS VERB NAME [COMMAND...]``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bayplan.models import Settings
from contract.hosts import open_runtime

settings, verb, name, *command = sys.argv[1:]
runtime = open_runtime(Settings.model_validate_json(settings))
try:
    match verb:
        case "attach":
            code = runtime.attach(name)
        case "start":
            code = runtime.start_attached(name)
        case "exec":
            code = runtime.exec(name, command, tty=sys.stdin.isatty(), capture=False).exit_code
finally:
    runtime.close()
sys.exit(100 if code is None else code)
