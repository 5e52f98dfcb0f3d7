"""The JSON Schema of scenario files: pydantic's, with Kafka's parameters described where a configuration stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafkasim.protocol.config import Kind, Parameter, added_parameters, differences, parameters

_KINDS: Mapping[str, Sequence[Kind]] = {
    "Cluster": (Kind.BROKER,),
    "Topic": (Kind.TOPIC,),
    "Producer": (Kind.JAVA_PRODUCER, Kind.LIBRDKAFKA_PRODUCER),
    "AlterConfig": (Kind.TOPIC,),
    "ConsumerGroup": (Kind.JAVA_CONSUMER, Kind.LIBRDKAFKA_CONSUMER),
}


def complete_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Say of each modelled parameter what it does. Others are let through: Kafka knows more of them than the simulator models."""
    for part, kinds in _KINDS.items():
        config = schema["$defs"][part]["properties"]["config"]
        config["properties"] = _described(kinds)
    _drop_titles(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _drop_titles(schema: object) -> None:
    """pydantic makes a title of every key ("Record.Size"), which says nothing that the key does not."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            _drop_titles(inner)


def _described(kinds: Sequence[Kind]) -> dict[str, Any]:
    """One property a parameter name; where two flavours share a name, both sentences."""
    said: dict[str, list[str]] = {}
    for kind in kinds:
        for parameter in parameters(kind):
            for name in (parameter.name, *parameter.aliases):
                said.setdefault(name, []).append(" ".join((_sentence(parameter, kind, len(kinds) > 1), *differences(kind, name))))
        for version, parameter in added_parameters(kind):
            said.setdefault(parameter.name, []).append(f"Only in Kafka {version}. {_sentence(parameter, kind, len(kinds) > 1)}")
    return {name: {"description": "\n".join(sentences)} for name, sentences in sorted(said.items())}


def _sentence(parameter: Parameter, kind: Kind, several: bool) -> str:
    whose = f"{kind.value}: " if several else ""
    default = "null" if parameter.default is None else parameter.default
    return f"{whose}{parameter.doc} Default: {str(default).lower() if isinstance(default, bool) else default}. Valid: {parameter.valid}."
