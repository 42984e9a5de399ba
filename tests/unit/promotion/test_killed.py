"""A copy that is killed anywhere leaves no tag on a part of an image, and the next one goes on."""

from __future__ import annotations

import pytest

from tests.support.promotion import SOURCE, TARGET, Killed, Killer, holes, registry, signed_index

REFERRERS = 2


def calls_of_a_copy():
    with registry() as made:
        signed_index(made)
        with Killer(made).watching() as watch:
            made.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        return len(watch.calls)


@pytest.mark.usefixtures("small_parts")
class TestKilledAtEveryCall:
    """Blobs, then manifests from the inside out, then referrers, then the tag (OCI distribution specification)."""

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_no_partial_tag_and_the_next_copy_completes(self, when):
        total = calls_of_a_copy()
        assert total > 30
        left_something = 0
        with registry() as made:
            digest = signed_index(made)
            for at in range(total):
                target = f"{TARGET}-{at}"
                made.gateway.create_repository(target)
                uploads = {}
                with Killer(made, at, when).watching(), pytest.raises(Killed):
                    made.promotion.copy(f"{SOURCE}:v1", f"{target}:v1", uploads=uploads)
                shown = made.gateway.digest_of(target, "v1")
                assert shown is None or (shown, holes(made, target, shown, referrers=REFERRERS)) == (digest, [])
                left_something += bool(uploads)
                result = made.promotion.copy(f"{SOURCE}:v1", f"{target}:v1", uploads=uploads)
                assert result.ok and made.gateway.digest_of(target, "v1") == digest
                assert holes(made, target, digest, referrers=REFERRERS) == []
                assert not uploads
        assert left_something > 3

    def test_at_no_call_does_the_tag_show_a_part(self, registry):
        digest = signed_index(registry)
        seen = []

        def look(call):
            if call.operation in ("PutImage", "UploadLayerPart", "CompleteLayerUpload"):
                found = registry.engine.registry().repositories[TARGET].tag_to_digest.get("v1")
                seen.append(found)
                assert found is None or holes(registry, TARGET, found, referrers=REFERRERS) == []

        registry.engine.before_call.append(look)
        registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert len(seen) > 10 and set(seen) == {None}
        assert registry.gateway.digest_of(TARGET, "v1") == digest
