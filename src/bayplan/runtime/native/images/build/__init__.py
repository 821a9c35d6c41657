"""Images built from a Dockerfile, in stages of work as BuildKit has them.

The modules, from what is called down to what is done:

    builder                             what the rooms above call
    runtime.dockerfile, stages          text to instructions with their lines, and the stages a target needs
    lower, config, files, bases         instructions to ``steps``: what runs, what is copied, what the image says of
                                        itself. Reads only: a plan ends here
    solve, cache, assemble              steps to layers, each from the cache or done; layers to an image
    layer, copy, executor               how one step is done
"""
