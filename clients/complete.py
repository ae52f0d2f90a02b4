"""`carousel complete`: a text's continuation on standard output."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from clients.client import Carousel
from clients.plain import write


def complete(client: Carousel, prompt: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Writes the continuation of `prompt` as it arrives, or as JSON when it is complete. Raises ClientError."""
    if as_json:
        answer = client.complete(prompt, **options)
        sys.stdout.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
    else:
        write(client.stream_complete(prompt, **options))
