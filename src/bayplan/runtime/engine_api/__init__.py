"""What Docker and Podman share: both answer Docker's Engine API."""
