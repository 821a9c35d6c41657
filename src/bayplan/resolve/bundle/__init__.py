"""An environment in one file: declaration, lock, files and images, for a host that reaches no registry.

In order of dependency:

    contents   what is in the file, and where
    rebase     a declaration moved from one directory to another
    making     a bundle written: the same environment, the same bytes
    archive    what an archive of images says that it holds
    reading    a bundle from anywhere, checked before anything of it is used
    opening    what of it is applied: secrets of now, images by their digests
"""
