"""Tag patterns as lifecycle policies have them: only `*` is special, anchored at both ends, case-sensitive.

Source: ECR user guide, lifecycle policy parameters.
"""

from ecrkit._internal.globs import compile_glob, matches

__all__ = ["compile_glob", "matches"]
