"""The OCI distribution client: references, credentials, mirrors, transfer."""
