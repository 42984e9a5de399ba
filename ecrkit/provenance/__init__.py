"""Where an image came from: the facts of its build, told by CI systems, as statements that others understand."""

from ecrkit.provenance.build import Build, Material
from ecrkit.provenance.ci import (
    from_codebuild,
    from_environment,
    from_git,
    from_github,
    from_gitlab,
    from_jenkins,
)
from ecrkit.provenance.statement import Statement, statement_of

__all__ = [
    "Build",
    "Material",
    "Statement",
    "from_codebuild",
    "from_environment",
    "from_git",
    "from_github",
    "from_gitlab",
    "from_jenkins",
    "statement_of",
]
