"""What is wrong with slots, conformances, variants and members (docs/reference/manifest.md, Errors)."""

import pytest

from .broken import DIGEST, POWER, Broken, action, check, depends, emits, node

DEPENDENCIES = [
    Broken(
        "reserved-link",
        depends('{ name: "battery", tag: "v1", link_id: «"_" }'),
        "ReservedLinkId",
        "manifest.depends_on.nodes[0].link_id",
        "reserved",
    ),
    Broken(
        "same-link-twice",
        depends(POWER, '{ name: "range", tag: "v1", link_id: «"power" }'),
        "DuplicateLinkId",
        "manifest.depends_on.interfaces[0].link_id",
        "the link_id `power` is used twice, first at 5:66",
    ),
    Broken(
        "two-wildcards",
        depends(
            '{ name: "battery", tag: "v1", link_id: "a", from_any: true },'
            ' «{ name: "battery", tag: "v1", link_id: "b", from_any: true }'
        ),
        "ConflictingFromAny",
        "manifest.depends_on.nodes[1]",
        "`a` and `b`",
    ),
    Broken(
        "own-slot",
        depends('«{ name: "wheels", tag: "v1", link_id: "me" }'),
        "SelfDependency",
        "manifest.depends_on.nodes[0]",
        "`wheels:v1`",
    ),
    Broken(
        "link-missing",
        depends('«{ name: "battery", tag: "v1" }'),
        "MissingKey",
        "manifest.depends_on.nodes[0]",
        "`link_id`",
    ),
    Broken(
        "node-pin",
        depends(f'{{ name: "battery", tag: "v1", link_id: "p", «sha256: "{DIGEST}" }}'),
        "UnknownKey",
        "manifest.depends_on.nodes[0].sha256",
        "`sha256`",
    ),
    Broken(
        "short-pin",
        depends("", '{ name: "range", tag: "v1", link_id: "r", sha256: «"ab12" }'),
        "BadSha256",
        "manifest.depends_on.interfaces[0].sha256",
        "`ab12`",
    ),
    Broken(
        "wildcard-text",
        depends('{ name: "battery", tag: "v1", link_id: "p", from_any: «"yes" }'),
        "WrongType",
        "manifest.depends_on.nodes[0].from_any",
        "expected a bool, found a string `yes`",
    ),
    Broken(
        "undeclared-link",
        depends(POWER, consumes='{ link_id: «"powr", name: "voltage" }'),
        "UndeclaredLinkId",
        "interfaces.topics.consumes[0].link_id",
        "`powr`; declared: `power`",
    ),
    Broken(
        "consumed-twice",
        depends(POWER, consumes='{ link_id: "power", name: "voltage" }, «{ link_id: "power", name: "voltage" }'),
        "DuplicateItem",
        "interfaces.topics.consumes[1]",
        "`voltage` is consumed through `power` twice, first at 9:26",
    ),
    Broken(
        "consumed-format",
        depends(POWER, consumes='{ link_id: "power", name: "voltage", «message_format: {} }'),
        "UnknownKey",
        "interfaces.topics.consumes[0].message_format",
        "`message_format`",
    ),
    Broken(
        "conforms-twice",
        node(interfaces='conforms_to: [{ name: "base", tag: "v1" }, «{ name: "base", tag: "v1" }]'),
        "DuplicateItem",
        "interfaces.conforms_to[1]",
        "`base:v1` is listed twice, first at 7:19",
    ),
    Broken(
        "tags-alike",
        node(interfaces='conforms_to: [{ name: "base", tag: "1.0" }, «{ name: "base", tag: "1-0" }]'),
        "ConformsTagCollision",
        "interfaces.conforms_to[1]",
        "`1.0` and `1-0`",
    ),
    Broken(
        "both-defaults",
        "«" + node('name: "wheels", tag: "v1", variants: [{ name: "default", source: { local: "x" } }]'),
        "VariantDefault",
        None,
        "both are given",
    ),
    Broken(
        "no-execution",
        "«" + "{ peppy_schema: 'node_v1', manifest: { name: 'a', tag: 'b' } }",
        "VariantDefault",
        None,
        "neither is given",
    ),
    Broken(
        "variant-twice",
        node(
            'name: "wheels", tag: "v1", variants: [{ name: "sim", source: { local: "x" } },'
            ' «{ name: "sim", source: { local: "y" } }]'
        ),
        "DuplicateVariant",
        "manifest.variants[1]",
        "`sim` is listed twice, first at 4:43",
    ),
    Broken(
        "git-variant",
        node('name: "wheels", tag: "v1", variants: [{ name: "sim", source: { local: "x", «repo: "y" } }]'),
        "UnknownKey",
        "manifest.variants[0].source.repo",
        "`repo`",
    ),
]

MEMBERS = [
    Broken(
        "topic-twice",
        emits('{ name: "pose" }, «{ name: "pose" }'),
        "DuplicateItem",
        "interfaces.topics.emits[1]",
        "the topic `pose` is listed twice, first at 7:23",
    ),
    Broken(
        "service-twice",
        node(interfaces='services: { exposes: [{ name: "s" }, «{ name: "s" }] }'),
        "DuplicateItem",
        "interfaces.services.exposes[1]",
        "the service `s`",
    ),
    Broken(
        "action-twice",
        node(interfaces='actions: { exposes: [{ name: "s" }, «{ name: "s" }] }'),
        "DuplicateItem",
        "interfaces.actions.exposes[1]",
        "the action `s`",
    ),
    Broken(
        "topics-expose",
        node(interfaces="topics: { «exposes: [] }"),
        "UnknownKey",
        "interfaces.topics.exposes",
        "`exposes`",
    ),
    Broken(
        "qos-word",
        emits('{ name: "pose", qos_profile: «"relaible" }'),
        "BadQosProfile",
        "interfaces.topics.emits[0].qos_profile",
        "`relaible` is not a QoS profile: `sensor_data`, `standard`, `reliable`, `critical`",
    ),
    Broken(
        "qos-goal",
        action('goal_service: { qos_profile: «"fast" }'),
        "BadQosProfile",
        "interfaces.actions.exposes[0].goal_service.qos_profile",
        "`fast`",
    ),
    Broken(
        "feedback-empty",
        action("feedback_topic: { message_format: «{} }"),
        "FeedbackFormatRequired",
        "interfaces.actions.exposes[0].feedback_topic.message_format",
        "action `dock`: feedback needs a non-empty message_format",
    ),
    Broken(
        "feedback-absent",
        action("feedback_topic: «{}"),
        "FeedbackFormatRequired",
        "interfaces.actions.exposes[0].feedback_topic",
        "feedback needs a non-empty message_format",
    ),
    Broken(
        "service-format",
        node(interfaces='services: { exposes: [{ name: "s", «message_format: {} }] }'),
        "UnknownKey",
        "interfaces.services.exposes[0].message_format",
        "nearest is",
    ),
]

TABLE = [*DEPENDENCIES, *MEMBERS]


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.name)
def test_a_broken_dependency_or_member_is_explained_at_its_place(broken: Broken):
    check(broken)
