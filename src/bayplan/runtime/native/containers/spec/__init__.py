"""The OCI runtime configuration (runtime-spec, config.md) of a container, by group of options.

bundle      what a container is made of besides its declaration, and the whole configuration
process     arguments, user, environment, limits of getrlimit(2), the small init
resources   limits of the cgroup, and how a change of them is told to the kernel
isolation   capabilities, seccomp, hidden paths, devices, kernel settings
sharing     namespaces: its own, the host's, or another container's
mounts      the file tree
"""

from bayplan.runtime.native.containers.spec.bundle import Bundle, build_spec
from bayplan.runtime.native.containers.spec.process import process_environment
from bayplan.runtime.native.containers.spec.resources import changes, lift, limits

__all__ = ["Bundle", "build_spec", "changes", "lift", "limits", "process_environment"]
