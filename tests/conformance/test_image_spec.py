"""Every document of an image that the core writes holds to the schemas of the image specification."""

import json
import os

import pytest

from builds import Core, write
from conformance.schemas import faults

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
DOCKERFILE = """\
FROM lab/base AS first
ARG WHO=me
RUN echo $WHO > /built
FROM lab/base
COPY --from=first /built /built
ENV A=1 B="two words"
WORKDIR /srv
USER app
EXPOSE 80 53/udp
VOLUME /data
LABEL org.example.title="a b"

STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD cat /built
ENTRYPOINT ["cat"]
CMD ["/built"]
"""


def test_a_built_image_and_the_layout_around_it(tmp_path):
    core = Core()
    try:
        write(tmp_path, Dockerfile=DOCKERFILE)
        core.build(tmp_path)
        write(tmp_path, many__Dockerfile="FROM scratch\nCOPY Dockerfile /\n")
        core.build(tmp_path / "many", "lab/many", platforms=("linux/amd64", "linux/arm/v6"))
        root = core.settings.state_root / "images"
        assert faults("image-spec", "image-layout-schema.json", json.loads((root / "oci-layout").read_text())) == []
        index = json.loads((root / "index.json").read_text())
        assert faults("image-spec", "image-index-schema.json", index) == []
        assert len(index["manifests"]) > 1
        for descriptor in index["manifests"]:
            manifest = json.loads((root / "blobs/sha256" / descriptor["digest"].partition(":")[2]).read_text())
            if "manifests" in manifest:
                assert descriptor["annotations"]["org.opencontainers.image.ref.name"].endswith("/lab/many:latest")
                assert faults("image-spec", "image-index-schema.json", manifest) == []
                continue
            assert faults("image-spec", "image-manifest-schema.json", manifest) == []
            config = root / "blobs/sha256" / manifest["config"]["digest"].partition(":")[2]
            assert faults("image-spec", "config-schema.json", json.loads(config.read_text())) == []
    finally:
        core.close()


def test_a_fault_is_found():
    assert faults("image-spec", "image-manifest-schema.json", {"schemaVersion": 2, "layers": 1})
