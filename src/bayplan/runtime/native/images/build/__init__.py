"""Images built from a Dockerfile, in four stages, as BuildKit has them.

dockerfile, expand   text to instructions with their lines
lower, ignore, context   instructions to steps: what runs, which files are copied, the configuration. Reads only
solve, cache         steps to layers, each from the cache or done
layer, copy, executor   how one step is done
"""
