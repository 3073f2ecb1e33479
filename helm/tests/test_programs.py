"""The chart and the programs fit together: its configuration is read, its test pod's command passes, and dashboards and
alerts name metrics that there are."""

import base64
import hmac
import http.client
import os
import signal
import socket
import time

import pytest

from conftest import BINARIES, CHART, MINIMAL, TOOLS, VALUES, by_name, containers, each_values, json, of_kind, pods, re, render, subprocess, yaml

FIELDS = {"status.hostIPs": "10.0.0.5,fd00::5", "status.hostIP": "10.0.0.5", "status.podIPs": "10.1.0.5,fd01::5",
          "status.podIP": "10.1.0.5", "metadata.labels['topology.kubernetes.io/zone']": "a"}
KEY, SECRET = "backend", "0123456789abcdef0123456789abcdef"


def files(objects, spec, container, directory):
    """Writes the container's ConfigMaps below a directory; where each of its paths went."""
    where = {}
    for mount in container.get("volumeMounts", []):
        [volume] = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
        to = directory / mount["mountPath"].strip("/")
        to.mkdir(parents=True, exist_ok=True)
        where[mount["mountPath"]] = to
        if "configMap" in volume:
            for name, text in by_name(objects, "ConfigMap", volume["configMap"]["name"])["data"].items():
                (to / name).write_text(text)
    return where


def environment(container, where, address=None):
    """The variables of a container, as the kubelet would set them, with the address of its pod."""
    out = {}
    for source in container.get("envFrom", []):
        out[source["prefix"] + KEY] = SECRET
    for one in container.get("env", []):
        if "value" in one:
            value = one["value"]
            for path, to in where.items():
                value = value.replace(path, str(to))
            out[one["name"]] = value
        elif "fieldRef" in one["valueFrom"]:
            out[one["name"]] = FIELDS[one["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            out[one["name"]] = SECRET
    if address and "POD_IP" in out:
        out["POD_IP"] = address
    # In brackets the address of the pod is an IPv6 one.
    if any("[$(POD_IP)]" in value for value in out.values()):
        out["POD_IP"] = FIELDS["status.podIPs"].split(",")[1]
    for name in ("POD_IP", "TURN_SECRET"):
        out = {key: value.replace(f"$({name})", out.get(name, "")) for key, value in out.items()}
    return out


@each_values
def test_configuration_is_read(values, tmp_path):
    objects = render(values)
    checked = 0
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            program = os.path.basename(container["command"][0])
            if owner["kind"] == "Pod" or program == "etcd":
                continue
            directory = tmp_path / owner["metadata"]["name"]
            env = environment(container, files(objects, spec, container, directory))
            done = subprocess.run([BINARIES / program, "--check-config"], env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            checked += 1
    assert checked


def test_the_image_has_every_program_that_pods_start():
    [line] = [line for line in (CHART / "Containerfile").read_text().splitlines() if "for program in" in line]
    has = set(re.search(r"for program in (.*?);", line)[1].split())
    for values in VALUES:
        for owner, _, spec in pods(render(values)):
            for container in containers(spec):
                assert container["name"] == "etcd" or os.path.basename(container["command"][0]) in has


def test_a_mistake_in_the_configuration_is_seen(tmp_path):
    """That the test above can fail."""
    objects = render(MINIMAL, "config.node.limits.room=1")
    [(_, _, spec)] = [one for one in pods(objects) if one[0]["kind"] == "Deployment"]
    env = environment(spec["containers"][0], files(objects, spec, spec["containers"][0], tmp_path))
    done = subprocess.run([BINARIES / "plenum", "--check-config"], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "node.limits.room" in done.stderr


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def fetch(url, data=None, **headers):
    host, path = url.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET" if data is None else "POST", "/" + path, data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def token(grants):
    encode = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
    claims = {"iss": KEY, "sub": "test", "exp": int(time.time()) + 60, "video": grants}
    signed = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + encode(hmac.digest(SECRET.encode(), signed, "sha256"))).decode()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The program with the chart's configuration, but for its addresses; where clients and where Prometheus reach it."""
    objects = render(MINIMAL)
    [(_, _, spec)] = [one for one in pods(objects) if one[0]["kind"] == "Deployment"]
    [container] = spec["containers"]
    directory = tmp_path_factory.mktemp("running")
    env = environment(container, files(objects, spec, container, directory))
    port, metrics = free_port(), free_port()
    flags = {"http.listen": f"127.0.0.1:{port}", "telemetry.prometheus_listen": f"127.0.0.1:{metrics}",
             "node.udp.listen": "127.0.0.1:21700", "node.tcp.listen": "127.0.0.1:21750",
             "node.udp.port_range": 40, "node.tcp.port_range": 40}
    command = [BINARIES / "plenum", *[part for name, value in flags.items() for part in ("--set", f"{name}={value}")]]
    with open(directory / "log", "w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert process.poll() is None, (directory / "log").read_text()
            try:
                if fetch(f"http://127.0.0.1:{port}{container['readinessProbe']['httpGet']['path']}")[0] == 200:
                    break
            except OSError:
                time.sleep(0.1)
        yield f"127.0.0.1:{port}", f"127.0.0.1:{metrics}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def test_the_command_of_the_test_pod_joins_and_receives(running):
    [pod] = of_kind(render(MINIMAL, "test.seconds=1"), "Pod")
    [container] = pod["spec"]["containers"]
    arguments = [re.sub(r"ws://[^/]+", f"ws://{running[0]}", argument) for argument in container["args"]]
    done = subprocess.run([BINARIES / "loadtest", *arguments], env=environment(container, {}), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def names(expression):
    return set(re.findall(r"\bplenum_[a-z0-9_]+", expression))


def expressions():
    dashboard = json.loads((CHART / "dashboards" / "plenum.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"dashboard {panel['title']}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield f"dashboard {variable['name']}", str(variable["query"])
    for group in yaml.safe_load((CHART / "alerts" / "plenum.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_dashboard_and_alerts_name_metrics_that_there_are(running):
    # Some appear with the first event they count: a refusal, a call.
    front, metrics = running
    assert fetch(f"http://{front}/metrics")[0] == 404
    assert fetch(f"http://{front}/rtc", Connection="Upgrade", Upgrade="websocket", **{
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})[0] == 401
    twirp = f"http://{front}/twirp/livekit.RoomService/ListRooms"
    authorization = f"Bearer {token({'roomList': True})}"
    assert fetch(twirp, b"{}", Authorization=authorization, **{"Content-Type": "application/json"})[0] == 200
    there_are = {line.split()[0].split("{")[0] for line in fetch(f"http://{metrics}/metrics")[1].splitlines()
                 if line and not line.startswith("#")}
    missing = {(where, name) for where, expression in expressions() for name in names(expression) - there_are}
    assert not missing


def test_alerts():
    promtool = TOOLS / "promtool"
    tests = CHART / "tests" / "alerts.yaml"
    for command in (["check", "rules", CHART / "alerts" / "plenum.yaml"], ["test", "rules", tests]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml.safe_load((CHART / "alerts" / "plenum.yaml").read_text())["groups"][0]["rules"]
    for case in yaml.safe_load(tests.read_text())["tests"]:
        assert {one["alertname"] for one in case["alert_rule_test"]} == {rule["alert"] for rule in rules}, case["name"]


def test_queries_of_the_dashboard_are_queries(tmp_path):
    """promtool reads them as rules."""
    ready = [expression.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$pod", ".*")
             for where, expression in expressions() if "label_values" not in expression]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(ready)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([TOOLS / "promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_laid_out():
    panels = json.loads((CHART / "dashboards" / "plenum.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
