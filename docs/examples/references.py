"""Read image references and registry hosts, and move them without string surgery."""

from ecrkit import ImageRef
from ecrkit.errors import InvalidReference
from ecrkit.refs import RegistryHost

ref = ImageRef.parse("123456789012.dkr-ecr-fips.us-west-2.on.aws/team/app:v1")
host = ref.registry
assert host is not None
print(host.account, host.region, "FIPS" if host.fips else "", "dual-stack" if host.dual_stack else "")

# Another region keeps the form of the endpoint; a digest makes the reference immovable.
print(ref.in_region("us-east-1"))
print(ref.pinned("sha256:" + "0" * 64))

# China has a suffix of its own; nobody needs to remember it.
print(RegistryHost.private("123456789012", "cn-north-1"))

# A look-alike is refused, and every faulty part is named.
try:
    ImageRef.parse("123456789012.dkr.ecr.us-west-2.amazonaws.com.evil.example/Team/app:-v1")
except InvalidReference as error:
    for problem in error.problems:
        print(problem.path)
