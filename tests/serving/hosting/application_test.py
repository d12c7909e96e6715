"""What a service brings for its Ray before that starts, and what it names for Serve to import."""

import importlib

import pytest

from athanor.serving.hosting import application, kuberay
from athanor.serving.setup.ports import INNER_PORTS, is_free
from athanor.serving.setup.settings import MAX_REPLICAS


def test_ports_of_a_service_are_free_and_do_not_overlap() -> None:
    ports = application.find_serve_ports()
    firsts = [(ports.others, ports.OTHERS), (ports.replica_http, ports.replicas), (ports.replica_grpc, ports.replicas)]
    numbers = [first + i for first, count in firsts for i in range(count)]
    assert len(set(numbers)) == len(numbers) == 4 + 2 * MAX_REPLICAS
    assert set(numbers) <= set(INNER_PORTS)
    assert all(map(is_free, numbers))


@pytest.mark.parametrize("path", [application.GRPC_SERVICES, kuberay.IMPORT_PATH.replace(":", ".")])
def test_what_serve_imports_by_name_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
