"""Observe, diff, plan, apply: level-based, through the runtime protocol alone.

Every run looks at what is and at what should be; no event is needed, so none can be lost. The planner has no write
path: it is given a runtime and calls only ``facts``, ``observe``, ``resolve`` and ``check``.
"""
