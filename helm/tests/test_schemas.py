"""What the chart renders is what Kubernetes and the operators of its custom kinds take."""

import shutil

import kubernetes_validate
import pytest

from conftest import CHART, TOOLS, VALUES, each_values, helm, json, render, subprocess

KUBERNETES = range(27, 37)
# Versions from which on the chart renders something else.
TURNS = [27, 29, 30, 35]
OWN = ("v1", "apps/v1", "autoscaling/v2", "batch/v1", "networking.k8s.io/v1", "policy/v1", "rbac.authorization.k8s.io/v1")


@pytest.mark.parametrize("version", [3, 4])
@each_values
def test_lint(values, version):
    helm("lint", "--strict", "--quiet", CHART, "--values", values, version=version)


@each_values
def test_helm_3_renders_the_same(values):
    assert render(values, version=3) == render(values, version=4)


@pytest.mark.parametrize("minor", KUBERNETES)
@each_values
def test_kubernetes_takes_it(values, minor):
    turn = max(turn for turn in TURNS if turn <= minor)
    for one in render(values, kubernetes=f"1.{turn}.0"):
        if one["apiVersion"] in OWN:
            kubernetes_validate.validate(one, f"1.{minor}", strict=True)


def test_versions_between_render_the_same():
    for values in VALUES:
        for before, after in zip(TURNS, [*TURNS[1:], KUBERNETES.stop]):
            assert render(values, kubernetes=f"1.{before}.0") == render(values, kubernetes=f"1.{after - 1}.0")


def test_older_kubernetes_is_refused():
    status, error = helm("template", "r", CHART, "--values", VALUES[0], "--kube-version", "1.26.0", check=False)
    assert status != 0 and "incompatible with Kubernetes" in error


def test_custom_kinds_are_as_their_operators_define_them():
    custom = [one for values in VALUES for one in render(values) if one["apiVersion"] not in OWN]
    kinds = {one["kind"] for one in custom}
    assert kinds >= {"Certificate", "HTTPRoute", "PrometheusRule", "ServiceMonitor"}
    # Beside the packages that it imports.
    script = shutil.copy(CHART / "tests" / "crds.mjs", TOOLS)
    done = subprocess.run(["node", script], input=json.dumps(custom), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_policies(tmp_path):
    """Nothing but the exceptions that the pods name with their reasons, and these."""
    skipped = {
        "CKV_K8S_11": "CPU limits throttle media; whole cores are requested instead",
        "CKV_K8S_15": "tags are versions, so pulling each time brings nothing",
        "CKV_K8S_21": "the namespace is the release's",
        "CKV_K8S_35": "the programs read API keys from their environment; files would be readable the same",
        "CKV2_K8S_6": "of pods that no policy chooses: with hostNetwork none would hold, and the test pod takes nothing in",
        "CKV_K8S_43": "the digest is the operator's to set (image.digest)",
    }
    for values in VALUES:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": render(values)})
        (tmp_path / f"{values.stem}.json").write_text(text)
    done = subprocess.run([TOOLS / "venv" / "bin" / "checkov", "--directory", tmp_path, "--framework", "kubernetes", "--compact",
                           "--quiet", "--skip-download", "--skip-check", ",".join(skipped)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
