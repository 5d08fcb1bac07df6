"""docs/reference/daemon.md, Configuration."""

import pytest

from peppy.daemon import config
from peppy.errors import InvalidInput


def test_the_file_that_the_daemon_creates_holds_exactly_the_defaults():
    written = config.parse(config.TEMPLATE.encode(), "c").values
    assert written == {name: setting.default for name, setting in config.SETTINGS.items()}


def test_the_file_that_the_daemon_creates_names_every_setting():
    for name in config.SETTINGS:
        assert name.rsplit(".", 1)[-1] in config.TEMPLATE


def test_settings_that_are_left_out_have_their_defaults():
    assert config.parse(b"{}", "c").seconds("lifecycle.shutdown_grace_secs") == 5


def test_depths_are_rounded_up_to_powers_of_two():
    given = config.parse(b"{topics: {depth: {standard: 129, critical: 4}}}", "c")
    assert given.depths() == {"sensor_data": 32, "standard": 256, "reliable": 128, "critical": 4}


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("{lifecyle: {}}", "UnknownKey", "lifecyle"),
        ("{lifecycle: {daemon_grace_secs: 29}}", "OutOfRange", "lifecycle.daemon_grace_secs"),
        ("{lifecycle: {daemon_grace_secs: true}}", "OutOfRange", "lifecycle.daemon_grace_secs"),
        ("{lifecycle: 3}", "WrongType", "lifecycle"),
        ("{reliable: {publish_timeout_secs: 0}}", "OutOfRange", "reliable.publish_timeout_secs"),
        ("{reliable: {publish_timeout_secs: Infinity}}", "OutOfRange", "reliable.publish_timeout_secs"),
        ("{build: {parallel: 17}}", "OutOfRange", "build.parallel"),
        ("{build: {parallel: 2.5}}", "OutOfRange", "build.parallel"),
        ("{topics: {depth: {sensor_data: 3}}}", "OutOfRange", "topics.depth.sensor_data"),
        ("{logs: {max_bytes: '1'}}", "OutOfRange", "logs.max_bytes"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(text: str, kind: str, path: str):
    with pytest.raises(InvalidInput) as raised:
        config.parse(text.encode(), "conf/peppy_config.json5")
    (problem,) = raised.value.details
    assert (problem.kind, problem.path, problem.line) == (kind, path, 1)
    assert problem.file == "conf/peppy_config.json5"


def test_an_existing_file_is_never_written(tmp_path):
    path = tmp_path / "peppy_config.json5"
    path.write_text("{ logs: { keep: 7 } }")
    loaded = config.load(path, lambda *_: pytest.fail("written"))
    assert loaded.whole("logs.keep") == 7
