"""Frozen records of many fields, with defaults: what a dataclass is to its users, made without generating code.

`dataclasses` writes and compiles each class's methods when it is defined, and imports `inspect`: for our forty classes
a quarter of the time that passes before a traced program runs. Type checkers see dataclasses here (PEP 681).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Dict, Tuple, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda kind: kind


__all__ = ["Frozen", "replace"]

_Kind = TypeVar("_Kind", bound="Frozen")


@dataclass_transform(frozen_default=True)
class Frozen:
    """Base of a record whose fields are its class's annotations, in their order.

    A list or dict as a default is copied for each record. Equal are records of one class with equal fields.
    """

    field_names: ClassVar[Tuple[str, ...]] = ()
    field_defaults: ClassVar[Dict[str, Any]] = {}
    _copied: ClassVar[Tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        names = tuple(cls.__annotations__)
        cls.field_names = names
        cls.field_defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        cls._copied = tuple(name for name, value in cls.field_defaults.items() if isinstance(value, (list, dict)))

    def __init__(self, *values: Any, **named: Any) -> None:
        cls = type(self)
        fields = self.__dict__
        fields.update(cls.field_defaults)
        fields.update(zip(cls.field_names, values))
        fields.update(named)
        if fields.keys() != {*cls.field_names} or len(values) > len(fields):
            raise TypeError("%s takes %s" % (cls.__name__, ", ".join(cls.field_names)))
        for name in cls._copied:
            if fields[name] is cls.field_defaults[name]:
                fields[name] = fields[name].copy()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("%s is frozen" % type(self).__name__)

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *map(self.__dict__.__getitem__, self.field_names)))

    def __repr__(self) -> str:
        fields = ", ".join("%s=%r" % (name, getattr(self, name)) for name in self.field_names)
        return "%s(%s)" % (type(self).__name__, fields)


def replace(record: _Kind, **changes: Any) -> _Kind:
    """The same record with some fields changed. Raises TypeError for a field it does not have."""
    return type(record)(**{**record.__dict__, **changes})
