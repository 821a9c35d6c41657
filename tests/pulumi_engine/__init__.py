"""A small engine of Pulumi's kind, for tests: real programs, the real plugin process, and state in a file.

It speaks what Pulumi's engine speaks to a program (ResourceMonitor, Engine) and to a plugin (ResourceProvider), and
decides as that does: check, diff, create, update, replace in either order, delete, refresh, import. What of Pulumi no
test here needs is not in it: aliases, transformations, targets, policies, other languages, remote components.

    wire        values of the wire as JSON, and what is secret or unknown in them
    state       what is kept between two runs
    plugin      the plugin's process and the questions that it is asked
    steps       what one resource needs, and doing it
    monitor     what a program asks for
    run         one run: plugins, the program, and what is deleted in the end
    deployment  a stack: preview, up, refresh, destroy, import
    cli         the same runs by the real ``pulumi``, where it is in PATH
"""

from pulumi_engine.deployment import Engine
from pulumi_engine.results import Result

__all__ = ["Engine", "Result"]
