"""The registry: a model's file name is its name; nothing else must know it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from fieldcast.core.backbone import Backbone
from fieldcast.core.module import Configured
from fieldcast.core.stage import Stage
from fieldcast.errors import FieldcastError, did_you_mean

Class = TypeVar("Class", bound=type[Configured])


class Registry:
    """Classes by name: from the files of a package, from other packages' entry points, from :func:`register`.

    Nothing is imported before its name is asked for.
    """

    def __init__(self, package: str, base: type[Configured], what: str):
        self.package = package
        self.base = base
        self.what = what
        self._registered: dict[str, type[Configured]] = {}

    def names(self) -> list[str]:
        """Every name that :meth:`get` knows, sorted."""
        return sorted({*self._files(), *self._entry_points(), *self._registered})

    def get(self, name: str) -> type[Configured]:
        """The class of a name; an unknown one is refused with the nearest known name."""
        if name in self._registered:
            return self._registered[name]
        if name in self._files():
            return self._only_class(f"{self.package}.{name}")
        if name in (points := self._entry_points()):
            return points[name].load()
        raise FieldcastError(
            f"there is no {self.what} '{name}'{did_you_mean(name, self.names())}: known are {', '.join(self.names())}; "
            "one of your own: give its file with --plugin, or in Python register it first (fieldcast.register)."
        )

    def name_of(self, cls: type[Configured]) -> str:
        """The name under which a class is found."""
        for name, known in self._registered.items():
            if known is cls:
                return name
        if cls.__module__.startswith(f"{self.package}."):
            return cls.__module__.removeprefix(f"{self.package}.").partition(".")[0]  # of a file or a folder
        for name, point in self._entry_points().items():
            if point.value == f"{cls.__module__}:{cls.__qualname__}":
                return name
        raise FieldcastError(f"{cls.__name__} is not registered: decorate it with fieldcast.register.")

    def register(self, cls: Class, name: str | None = None) -> Class:
        name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        if name in self._files():
            raise FieldcastError(f"fieldcast has a {self.what} '{name}' of its own: give {cls.__name__} another name.")
        self._registered[name] = cls
        return cls

    def _files(self) -> list[str]:
        package = importlib.import_module(self.package)
        return [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.package)}

    def _only_class(self, module_name: str) -> type[Configured]:
        module = importlib.import_module(module_name)
        found = [
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, self.base)
            and f"{cls.__module__}.".startswith(f"{module_name}.")
            and not cls.__name__.startswith("_")
            and not inspect.isabstract(cls)
        ]
        if len(found) != 1:
            raise FieldcastError(f"{module_name} must define one {self.what} class but defines {len(found)}: keep one.")
        return found[0]


BACKBONES = Registry("fieldcast.backbones", Backbone, "backbone")
STAGES = Registry("fieldcast.methods", Stage, "stage")


def register(cls: Class) -> Class:
    """Class decorator: make a backbone or a stage of your own known by its name in snake case.

    ``class MyModel(Backbone)`` is then ``create("my_model", windows)``. A package does the same for its users with an
    entry point in the group ``fieldcast.backbones`` or ``fieldcast.methods``.
    """
    if issubclass(cls, Backbone):
        return BACKBONES.register(cls)
    if issubclass(cls, Stage):
        return STAGES.register(cls)
    raise FieldcastError(f"{cls.__name__} is neither a Backbone nor a Stage: subclass one of them.")
