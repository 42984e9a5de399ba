"""Push an image to the embedded ECR with an ordinary boto3 client, and read it back."""

import hashlib
import json

from ecrkit.images import Inventory
from ecrkit.local import Engine, client

engine = Engine()
ecr = client(engine)
ecr.create_repository(repositoryName="team/app")


def upload(data: bytes) -> str:
    """Upload one blob as docker push does, in one part; return its digest."""
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    started = ecr.initiate_layer_upload(repositoryName="team/app")
    ecr.upload_layer_part(
        repositoryName="team/app",
        uploadId=started["uploadId"],
        partFirstByte=0,
        partLastByte=len(data) - 1,
        layerPartBlob=data,
    )
    ecr.complete_layer_upload(repositoryName="team/app", uploadId=started["uploadId"], layerDigests=[digest])
    return digest


config, layer = b'{"architecture":"amd64","os":"linux"}', b"pretend this is a gzip layer"
manifest = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": upload(config),
        "size": len(config),
    },
    "layers": [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": upload(layer),
            "size": len(layer),
        }
    ],
}
text = json.dumps(manifest)
pushed = ecr.put_image(repositoryName="team/app", imageManifest=text, imageTag="v1")["image"]

# The digest is the real one: the hash of the bytes that were put.
assert pushed["imageId"]["imageDigest"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()

inventory = Inventory.from_api(ecr.describe_images(repositoryName="team/app")["imageDetails"])
print(inventory.by_tag("v1"))
print([call.operation for call in engine.calls][-2:])
