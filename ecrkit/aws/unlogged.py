"""Keeping tokens out of botocore's debug log, which prints the bodies of answers."""

from __future__ import annotations

import logging
import re
from typing import Final

from typing_extensions import override

__all__ = ["mask_tokens_in_logs"]

_LOGGER: Final = "botocore.parsers"
_TOKEN: Final = re.compile(r'(?i)(authorizationToken\\?["\']?\s*:\s*\\?["\']?)[A-Za-z0-9+/=_-]+')


class _Mask(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        masked = _TOKEN.sub(r"\1<secret>", text)
        if masked != text:
            record.msg, record.args = masked, ()
        return True


_MASK: Final = _Mask()


def mask_tokens_in_logs() -> None:
    """Mask authorization tokens in what `botocore.parsers` logs, in the whole process; a second call does nothing.

    With `boto3.set_stream_logger("")` botocore writes whole answers, and a token in a log lives for 12 hours.
    """
    logging.getLogger(_LOGGER).addFilter(_MASK)
