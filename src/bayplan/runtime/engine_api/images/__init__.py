"""Images of Docker and Podman: what a name stands for, pulls, builds.

    images      what the rooms above call: resolve, create, delete, observe
    remote      what the registry has under a name, and the credentials for it
    transfer    streams of JSON lines: progress, errors
    builds      builds by the engine's own builder
    context     the files of a build as a tar, and their fingerprint
    refusals    what of a Dockerfile an engine's builder cannot do
    verbs       images as a user handles them by name

An image is known by its id, the digest of its configuration: that of one that came without a registry too. What is
not here yet is known by the digest that the registry has under its name; once it was pulled, both lead to the same id.
"""
