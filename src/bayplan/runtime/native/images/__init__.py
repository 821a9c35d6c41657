"""Images of the native engine: an OCI layout of blobs, unpacked layers, and the pull that fills both."""
