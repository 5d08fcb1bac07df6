"""Quality-of-service profiles (docs/reference/qos.md, Profiles)."""

from enum import IntEnum


class QoSProfile(IntEnum):
    """How a stream buffers; the names are those of Python programs and of the command line."""

    SensorData = 0
    Standard = 1
    Reliable = 2
    Critical = 3

    @classmethod
    def of(cls, word: str) -> "QoSProfile":
        """The profile that a manifest calls `word`; KeyError when it is none."""
        return _BY_WORD[word]

    @property
    def word(self) -> str:
        """The manifest's word for this profile."""
        return _WORDS[self]

    @property
    def waits(self) -> bool:
        """Whether a writer waits for its slowest reader instead of overwriting what that one has not taken."""
        return self >= QoSProfile.Reliable


_WORDS = {
    QoSProfile.SensorData: "sensor_data",
    QoSProfile.Standard: "standard",
    QoSProfile.Reliable: "reliable",
    QoSProfile.Critical: "critical",
}
_BY_WORD = {word: profile for profile, word in _WORDS.items()}
