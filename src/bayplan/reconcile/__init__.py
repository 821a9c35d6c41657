"""Observe, diff, plan, apply: level-based, through the runtime protocol alone.

Every run looks at what is and at what should be; no event is needed, so none can be lost. The planner has no write
path: it is given a runtime and calls only ``facts``, ``observe``, ``resolve`` and ``check``.

    planner                     the plan: everything below, in order
    steps, diff, risks          what each resource needs by itself
    followers, removal, graph   what follows from that, what goes, and the order of all
    basis                       what the plan relies on
    apply, walk, execute        the plan done, step by step
"""
