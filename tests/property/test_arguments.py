"""What `--json --full` prints of a message is an argument that makes the same message (docs/reference/cli.md, 9)."""

import json
import math
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from test_codec_properties import payloads, plain

from peppy.cli.arguments import given_object, message_of, packed
from peppy.cli.calling import message_data
from peppy.codec import Plan


def is_finite(value: Any) -> bool:
    """Whether JSON has all numbers of this message."""
    if isinstance(value, list | tuple):
        return all(is_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(payloads())
def test_what_is_printed_in_full_makes_the_same_message_again(case: tuple[Plan[Any], list[Any]]) -> None:
    plan, values = case
    assume(is_finite(plain(values)))
    sent = packed(plan, plan.classes[""](*values)).inside
    printed = json.dumps(message_data(plan, sent, full=True))
    again = packed(plan, message_of(plan, given_object(printed))).inside
    assert plain(plan.decode(again)) == plain(plan.decode(sent))
