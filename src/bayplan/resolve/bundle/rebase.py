"""A declaration moved: paths of its own directory become those of another."""

from __future__ import annotations

from bayplan.models import BindMount, Container, FileGrant, Image, Stack


def moved(stack: Stack, target: str) -> Stack:
    """The stack as if its files lay in ``target``."""
    source = stack.directory.rstrip("/")

    def path(text: str) -> str:
        inside = bool(source) and (text == source or text.startswith(f"{source}/"))
        return target + text[len(source) :] if inside else text

    def image(item: Image) -> Image:
        build = item.build
        return (
            item
            if build is None
            else item.model_copy(update={"build": build.model_copy(update={"context": path(build.context)})})
        )

    def grants(items: tuple[FileGrant, ...]) -> tuple[FileGrant, ...]:
        return tuple(item.model_copy(update={"file": path(item.file)}) if item.file else item for item in items)

    def container(item: Container) -> Container:
        mounts = tuple(
            one.model_copy(update={"source": path(one.source)}) if isinstance(one, BindMount) else one
            for one in item.mounts
        )
        return item.model_copy(
            update={"mounts": mounts, "secrets": grants(item.secrets), "configs": grants(item.configs)}
        )

    update = {
        "images": tuple(image(item) for item in stack.images),
        "containers": tuple(container(item) for item in stack.containers),
        "directory": target,
        "sources": (),
    }
    return stack.model_copy(update=update)


def own_binds(stack: Stack) -> list[BindMount]:
    """Mounts of what lies in the declaration's own directory."""
    top = stack.directory.rstrip("/")
    mounts = (mount for item in stack.containers for mount in item.mounts if isinstance(mount, BindMount))
    return [mount for mount in mounts if top and mount.source.startswith(f"{top}/")]
