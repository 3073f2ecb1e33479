"""What all tests of the chart share: rendering it, and the sets of values it is rendered with."""

import functools
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

CHART = pathlib.Path(__file__).resolve().parent.parent
TOOLS = CHART.parent / "target" / "helm-tools"
BINARIES = pathlib.Path(os.environ.get("PLENUM_BINARIES", CHART.parent / "target" / "debug"))
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
MINIMAL = CHART / "ci" / "all-in-one-host-network-values.yaml"
NEWEST = "1.36.0"


def helm(*arguments, version=4, check=True):
    """Runs Helm; its output, or without `check` (status, error)."""
    command = [str(TOOLS / f"helm{version}"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if not check:
        return done.returncode, done.stderr
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@functools.cache
def render(values, *settings, version=4, kubernetes=NEWEST):
    """The objects of the chart with a file of values and further `--set` settings."""
    extra = [part for setting in settings for part in ("--set", setting)]
    text = helm("template", "release", CHART, "--namespace", "space", "--values", values, "--kube-version", kubernetes,
                *extra, version=version)
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def refused(*settings, values=MINIMAL):
    """Why the chart does not render with these settings."""
    extra = [part for setting in settings for part in ("--set-json", setting)]
    status, error = helm("template", "release", CHART, "--values", values, *extra, check=False)
    assert status != 0, f"{settings} rendered"
    return error


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")


def pods(objects):
    """Metadata and spec of all pods, with the object they are from."""
    for one in objects:
        if one["kind"] in WORKLOADS:
            yield one, one["spec"]["template"]["metadata"], one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one, one["metadata"], one["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def each_values(test):
    """Runs a test once for each file of values."""
    return pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name.removesuffix("-values.yaml"))(test)


def by_name(objects, kind, name):
    [one] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return one


__all__ = ["BINARIES", "CHART", "MINIMAL", "NEWEST", "TOOLS", "VALUES", "WORKLOADS", "by_name", "containers",
           "each_values", "helm", "json", "of_kind", "pods", "re", "refused", "render", "subprocess", "yaml"]
