"""What Docker and Podman share: both answer Docker's Engine API. The docker SDK is imported here alone."""
