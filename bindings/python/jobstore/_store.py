"""Stores."""

from __future__ import annotations

import os
from ctypes import byref, c_bool
from typing import Any, List, Tuple

from ._errors import call
from ._graph import Graph
from ._values import Handle, get_json, get_text, handle, text


class Store(Handle):
    """An open store: returned by :func:`jobstore.open`. ``with`` closes it."""

    _free = "free"

    def create_graph(self, project_id: str, name: str) -> Graph:
        return Graph(handle("create_graph", self._handle, text(project_id), text(name)))

    def graph(self, project_id: str, name: str) -> Graph:
        return Graph(handle("get_graph", self._handle, text(project_id), text(name)))

    def get_or_create_graph(self, project_id: str, name: str) -> Graph:
        return Graph(handle("get_or_create_graph", self._handle, text(project_id), text(name)))

    def drop_graph(self, project_id: str, name: str) -> None:
        call("drop_graph", self._handle, text(project_id), text(name))

    def graphs(self) -> "List[Tuple[str, str]]":
        """The project id and name of each graph."""
        graphs = get_json("graphs", self._handle)["graphs"]
        return [(graph["projectId"], graph["graphName"]) for graph in graphs]

    def recovered(self) -> "dict[str, Any]":
        """The jobs that this open found running, and what it did with them."""
        return get_json("recovered", self._handle)

    def stats(self) -> "dict[str, Any]":
        return get_json("stats", self._handle)

    def health(self) -> "dict[str, Any]":
        return get_json("health", self._handle)

    def tally(self, query: str) -> "dict[str, Any]":
        """Counts the jobs of all graphs, as :meth:`Graph.tally` does for one of them."""
        return get_json("tally_all", self._handle, text(query))

    def backup(self, directory: "str | os.PathLike[str]") -> "dict[str, Any]":
        return get_json("backup", self._handle, text(os.fspath(directory)))

    def control(self) -> "Control":
        """Opens the control socket, through which the ``jobstore`` CLI uses the store."""
        return Control(handle("open_control", self._handle))

    def close(self) -> None:
        """Closes the store, and raises an error if that fails."""
        call("close", self._handle)

    def __exit__(self, *exception: object) -> None:
        try:
            self.close()
        finally:
            self.free()


class Control(Handle):
    """An open control socket."""

    _free = "control_free"

    @property
    def path(self) -> str:
        return get_text("control_path", self._handle)


def verify(directory: "str | os.PathLike[str]") -> "Tuple[bool, dict[str, Any]]":
    """Verifies every byte of a store that is closed. Returns whether it is free of damage, and a
    report."""
    sound = c_bool()
    report = get_json("verify", text(os.fspath(directory)), byref(sound))
    return sound.value, report
