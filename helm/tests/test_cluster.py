"""A small cluster of the chart's own configuration, started by its own commands: two media nodes share a machine, as one
that drains and its successor do; their probes find them; the test pod's command passes, before and after one has gone."""

import os
import random
import signal
import time

import pytest

from conftest import BINARIES, CHART, of_kind, pods, re, render, subprocess
from test_programs import environment, files

VALUES = CHART / "ci" / "cluster-daemon-set-values.yaml"
SETTINGS = ("store.persistence.enabled=false", "test.seconds=1", "media.drainSeconds=20", "media.workers=1")
IN_TIME = 60


class Machine:
    """Processes of pods at one loopback address, which nobody else uses."""

    def __init__(self, directory):
        self.directory = directory
        self.address = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.objects = render(VALUES, *SETTINGS)
        self.processes = {}

    def start(self, name, owner):
        [(_, _, spec)] = [one for one in pods(self.objects) if one[0]["metadata"]["name"] == owner]
        [container] = spec["containers"]
        where = files(self.objects, spec, container, self.directory / name)
        env = environment(container, where, self.address)
        # What is told by names of the cluster, or listens on the machine as a whole.
        env |= {"PLENUM_CLUSTER__CONTROL_PLANES": f"{self.address}:7870", "PLENUM_NODE__UDP__LISTEN": f"{self.address}:7882",
                "PLENUM_NODE__TCP__LISTEN": f"{self.address}:7881",
                "PLENUM_HTTP__ADDRESS_FILE": str(self.directory / name / "http")}
        if container["name"] == "control-plane":
            env = {key: value for key, value in env.items() if "NODE__" not in key and "PLANES" not in key}
            env |= {"PLENUM_HTTP__LISTEN": f"{self.address}:7880", "PLENUM_TELEMETRY__PROMETHEUS_LISTEN": f"{self.address}:7879", "PLENUM_CLUSTER__LISTEN": f"{self.address}:7870"}
        with open(self.directory / f"{name}.log", "w") as log:
            command = [BINARIES / os.path.basename(container["command"][0])]
            self.processes[name] = subprocess.Popen(command, env=env, stdout=log, stderr=log), container, env

    def probe(self, name, kind="readinessProbe"):
        _, container, env = self.processes[name]
        program, *arguments = container[kind]["exec"]["command"]
        return subprocess.run([BINARIES / os.path.basename(program), *arguments], env=env, capture_output=True, text=True)

    def wait_ready(self, name):
        deadline = time.monotonic() + IN_TIME
        while self.probe(name).returncode != 0:
            process = self.processes[name][0]
            assert process.poll() is None and time.monotonic() < deadline, self.log(name) + self.probe(name).stderr
            time.sleep(0.1)

    def log(self, name):
        return (self.directory / f"{name}.log").read_text()

    def join(self):
        """What the test pod does."""
        [pod] = of_kind(self.objects, "Pod")
        [container] = pod["spec"]["containers"]
        arguments = [re.sub(r"ws://[^/]+", f"ws://{self.address}:7880", argument) for argument in container["args"]]
        done = subprocess.run([BINARIES / "loadtest", *arguments], env=environment(container, {}), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self, name):
        process = self.processes.pop(name)[0]
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=IN_TIME)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    for process, _, _ in machine.processes.values():
        process.kill()
        process.wait()


def test_a_media_node_takes_over_from_one_that_drains_on_the_same_machine(machine):
    machine.start("control-plane", "release-plenum-control-plane")
    for name in ("old", "new"):
        machine.start(name, "release-plenum-media")
        machine.wait_ready(name)
        assert machine.probe(name, "livenessProbe").returncode == 0
    addresses = [(machine.directory / name / "http").read_text().strip() for name in ("old", "new")]
    assert addresses == [f"{machine.address}:7872", f"{machine.address}:7873"]
    machine.join()
    assert machine.end("old") == 0
    assert machine.probe("new").returncode == 0
    machine.join()
    assert machine.end("new") == 0
    assert machine.end("control-plane") == 0
