"""The values: what is refused, and that each is explained."""

import os

import pytest

from conftest import CHART, MINIMAL, VALUES, by_name, helm, json, re, refused, render, yaml

KEY = "0123456789abcdef0123456789abcdef"
SLOT = '{"address":"203.0.113.1","udpPort":30000,"tcpPort":30100}'
CLUSTER = 'mode="cluster"'
TURN = 'turn={"enabled":true,"host":"turn.example.org"}'
SECRET = f'cluster.secret="{KEY}"'
SERVICE = 'media.exposure.type="service"'

# Settings that cannot be, and what the error must name. What one value may be is the schema's; what goes together is
# told by the templates.
REFUSED = [
    (("medai.replicas=3",), "medai"),
    (("media.replica=3",), "replica"),
    (("media.exposure.service.slots=[{\"adress\":\"203.0.113.1\"}]",), "adress"),
    (('mode="both"',), "mode"),
    (("media.workers=0",), "workers"),
    (("media.workers=37",), "workers"),
    (("media.exposure.udpPort=70000",), "udpPort"),
    (('media.exposure.type="hostnetwork"',), "type"),
    (('media.addresses.advertise=["media.example.org"]',), "advertise"),
    (('media.addresses.stun=["stun.example.org"]',), "stun"),
    (('image.repository=""',), "repository"),
    (('image.repository="registry.example/plenum:1.0"',), "repository"),
    (('image.digest="sha256:abc"',), "digest"),
    (('auth.keys.short="secret"',), "keys"),
    (("auth.keys=null",), "auth.existingSecret or auth.keys must be set"),
    (('auth.existingSecret="mine"',), "cannot both be set"),
    ((f'auth.keys={{"a key":"{KEY}"}}',), '"a key" may have letters'),
    (('config.keys={"a":"b"}',), "config.keys is decided by other values"),
    (('config.node.udp.listen=["0.0.0.0:1"]',), "config.node.udp.listen is decided by other values"),
    (('config.node.relay.listen=["0.0.0.0:1"]',), "config.node.relay.listen is decided by other values"),
    (('config.node.turn.udp=["0.0.0.0:3478"]',), "config.node.turn.udp is decided by other values"),
    (('config.telemetry.prometheus_listen="0.0.0.0:1"',), "config.telemetry.prometheus_listen is decided by other values"),
    (("turn.enabled=true",), "turn.host must say"),
    ((TURN, "turn.udpPort=0", "turn.tcpPort=0"), "turn has nothing to listen on"),
    ((TURN, "turn.tcpPort=443"), "turn.tcpPort must be at least 1024"),
    ((TURN, "turn.tcpPort=5349", 'turn.tlsSecret="tls"'), "turn.tcpPort and turn.tlsPort must differ"),
    ((TURN, CLUSTER, SECRET), "turn needs turn.secret or turn.existingSecret"),
    ((TURN, CLUSTER, SECRET, 'turn.secret="short"'), "secret"),
    ((TURN, CLUSTER, SECRET, f'turn.secret="{KEY}"', 'turn.existingSecret="mine"'), "turn.secret and turn.existingSecret cannot both"),
    ((TURN, CLUSTER, SECRET, f'turn.secret="{KEY}"', 'config.ice.servers=[{"urls":["stun:a"]}]'), "config.ice.servers does not go"),
    ((TURN, SERVICE, f"media.exposure.service.slots=[{SLOT}]"), "slots[0].turnUdpPort must be set"),
    (("media.exposure.portRange=3",), "media.exposure.portRange must be at least twice media.workers"),
    (("media.exposure.udpPort=65530",), "go past port 65535"),
    ((SERVICE,), "media.exposure.service.slots must have one entry"),
    ((f"media.exposure.service.slots=[{SLOT}]",), "slots is for exposure type service"),
    ((SERVICE, f"media.exposure.service.slots=[{SLOT},{SLOT}]"), "has room for one pod only"),
    ((SERVICE, f"media.exposure.service.slots=[{SLOT},{SLOT}]"), "share node ports"),
    ((SERVICE, 'media.exposure.service.slots=[{"address":"203.0.113.1","udpPort":30000}]'), "slots[0].tcpPort must be set"),
    ((SERVICE, f"media.exposure.service.slots=[{SLOT.replace('30000', '443')}]"), "must be a node port"),
    ((SERVICE, f"media.exposure.service.slots=[{SLOT}]", 'media.addresses.advertise=["203.0.113.9"]'), "each slot has its own"),
    (('media.addresses={"hostIPs":false,"stun":[]}',), "says nothing about where clients reach media"),
    (('media.kind="DaemonSet"',), "needs mode cluster"),
    (('media.autoscaling.type="keda"',), "needs mode cluster"),
    ((CLUSTER,), "mode cluster needs cluster.secret"),
    ((CLUSTER, 'cluster.secret="short"'), "secret"),
    ((CLUSTER, SECRET, "controlPlane.replicas=2"), "need store.etcd"),
    ((CLUSTER, SECRET, 'store.etcd.endpoints=["etcd:2379"]'), "endpoints"),
    ((CLUSTER, SECRET, "store.etcd.deploy.enabled=true", 'store.etcd.endpoints=["http://etcd:2379"]'), "cannot both be set"),
    ((CLUSTER, SECRET, "store.etcd.deploy.enabled=true", "store.persistence.enabled=true"), "no use beside store.etcd"),
    ((CLUSTER, SECRET, 'media.kind="DaemonSet"', 'media.autoscaling.type="hpa"'), "needs media.kind Deployment"),
    ((CLUSTER, SECRET, 'media.autoscaling={"type":"keda","minReplicas":9,"maxReplicas":3}'), "more than maxReplicas"),
    ((CLUSTER, SECRET, 'media.kind="DaemonSet"', SERVICE, f"media.exposure.service.slots=[{SLOT}]"), "needs media.kind Deployment"),
    ((CLUSTER, SECRET, SERVICE, f"media.exposure.service.slots=[{SLOT},{SLOT}]"), "share node ports"),
    (("store.etcd.deploy.enabled=true",), "store.etcd needs mode cluster"),
    (("ingress.enabled=true",), "ingress.hosts must name a host"),
    (("gateway.enabled=true",), "gateway.parentRefs must name the Gateway"),
    (("certManager.enabled=true",), "certManager.issuerRef.name"),
    (("certManager.enabled=true",), "needs ingress.hosts, gateway.hosts or turn"),
]


@pytest.mark.parametrize("settings, named", REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_is_refused(settings, named):
    assert named in refused(*settings)


def test_all_mistakes_are_told_at_once():
    error = refused("media.exposure.portRange=3", "ingress.enabled=true")
    assert "portRange" in error and "ingress.hosts" in error


def test_nothing_is_installed_without_an_image_and_keys():
    status, error = helm("template", "r", CHART, check=False)
    assert status != 0 and "repository" in error


def walk(schema, path=""):
    """Objects of the schema, by path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from walk(schema["items"], f"{path}[]")


def keys(values, path=""):
    for name, value in values.items():
        yield f"{path}.{name}"
        if isinstance(value, dict):
            yield from keys(value, f"{path}.{name}")


def test_the_schema_is_strict_and_knows_every_value():
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = dict(walk(schema))
    for path, part in known.items():
        if "properties" in part:
            assert part.get("additionalProperties") is False, path
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    free = re.compile(r"\.(labels|keys|resources|updateStrategy)\.")
    missing = [path for path in keys(values) if path not in known and not free.search(path)]
    assert not missing


def test_each_value_is_explained():
    lines = (CHART / "values.yaml").read_text().splitlines()
    for before, line in zip([""] + lines, lines):
        is_section = line.rstrip().endswith(":")
        if line.strip() and not line.lstrip().startswith("#") and not is_section:
            assert before.lstrip().startswith("# "), f"{line} is not explained"


def test_the_readme_explains_the_values_as_they_are():
    readme = CHART / "README.md"
    begin, end = "<!-- values -->\n", "<!-- end of values -->"
    before, rest = readme.read_text().split(begin)
    table, after = rest.split(end)
    if os.environ.get("UPDATE_README"):
        readme.write_text(before + begin + values_table() + end + after)
        return
    assert table == values_table(), "run UPDATE_README=1 helm/tests/run test_values.py"


def values_table():
    """Every value with its default and the comment above it."""
    rows = ["| value | default | |", "|---|---|---|"]
    path, comment = [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.removeprefix("#").strip())
            continue
        if not text:
            continue
        name, _, default = text.partition(":")
        depth = (len(line) - len(line.lstrip())) // 2
        path = path[:depth] + [name]
        default = default.strip()
        if default:
            rows.append(f"| `{'.'.join(path)}` | `{default}` | {' '.join(comment)} |".replace("``", "` `"))
        comment = []
    return "\n".join(rows) + "\n"


def test_the_image_is_named_by_tag_or_digest():
    image = lambda *settings: by_name(render(MINIMAL, *settings), "Deployment", "release-plenum")["spec"]["template"]["spec"][
        "containers"][0]["image"]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    digest = "sha256:" + "0" * 64
    assert image() == f"registry.example/plenum:{version}"
    assert image("image.tag=v9") == "registry.example/plenum:v9"
    assert image(f"image.digest={digest}", "image.tag=v9") == f"registry.example/plenum@{digest}"


def test_the_version_is_the_programs():
    cargo = (CHART.parent / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', cargo, re.M)[1]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version


def test_the_image_is_built_with_the_projects_toolchain():
    channel = re.search(r'channel = "(.*)"', (CHART.parent / "rust-toolchain.toml").read_text())[1]
    assert f"/rust:{channel}-" in (CHART / "Containerfile").read_text()


def test_there_is_a_file_of_values_for_every_mode_and_exposure():
    seen = set()
    for path in VALUES:
        values = yaml.safe_load(path.read_text())
        exposure = values.get("media", {}).get("exposure", {})
        kind = exposure.get("service", {}).get("type", "NodePort") if exposure.get("type") == "service" else ""
        seen.add((values.get("mode", "allInOne"), exposure.get("type", "hostNetwork"), kind))
    assert seen >= {(mode, *exposure) for mode in MODES
                    for exposure in [("hostNetwork", ""), ("hostPort", ""), ("service", "NodePort"), ("service", "LoadBalancer")]}


MODES = ["allInOne", "cluster"]
