"""Values of the wire as JSON: what is secret, what is not known yet."""

from google.protobuf import json_format, struct_pb2

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def plain(struct):
    """A struct as a dict."""
    return json_format.MessageToDict(struct)


def struct(values):
    """A dict as a struct."""
    return json_format.ParseDict(values, struct_pb2.Struct())


def is_secret(value):
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def bare(value):
    """A value without the wrapping of secrets, at every depth."""
    if is_secret(value):
        return bare(value.get("value"))
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    return [bare(item) for item in value] if isinstance(value, list) else value


def is_known(value):
    """Whether nothing in it has yet to be found out."""
    if isinstance(value, dict):
        return all(is_known(item) for item in value.values())
    return all(is_known(item) for item in value) if isinstance(value, list) else value != UNKNOWN


def with_secrets(values, names):
    """Properties of which the named ones are secret as a whole."""
    wrapped = {name: {SIGNATURE: SECRET, "value": values[name]} for name in names if name in values}
    return {**values, **{name: item for name, item in wrapped.items() if not is_secret(values[name])}}


def mapped(value, change):
    """Every secret of a value exchanged for what ``change`` makes of it."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return change(value)
        return {key: mapped(item, change) for key, item in value.items()}
    return [mapped(item, change) for item in value] if isinstance(value, list) else value
