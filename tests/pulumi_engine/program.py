"""Runs a user's program as Pulumi's language host does: ``program.py PROGRAM SETTINGS`` (JSON)."""

import asyncio
import json
import os
import runpy
import sys

import pulumi
import pulumi.runtime


def main():
    program, settings = sys.argv[1], json.loads(sys.argv[2])
    config = settings.pop("config")
    pulumi.runtime.set_all_config(config, settings.pop("secret_config"))
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))
    os.chdir(settings["root_directory"])
    sys.argv = [program]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: runpy.run_path(program, run_name="__main__")))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    finally:
        loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
