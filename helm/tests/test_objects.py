"""What the objects mean together: selectors, ports, secrets, how pods are replaced."""

import pytest

from conftest import CHART, MINIMAL, VALUES, WORKLOADS, by_name, containers, each_values, helm, json, of_kind, pods, re, render

HOST_PORT = CHART / "ci" / "all-in-one-host-port-values.yaml"
NODE_PORT = CHART / "ci" / "all-in-one-node-port-values.yaml"
BALANCER = CHART / "ci" / "all-in-one-load-balancer-values.yaml"


def is_subset(part, whole):
    return part.items() <= whole.items()


@each_values
def test_selectors_choose_pods_of_one_component(values):
    objects = render(values)
    labels = [(owner["metadata"]["name"], metadata["labels"]) for owner, metadata, _ in pods(objects)]
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            selector = spec["selector"]
        elif one["kind"] in (*WORKLOADS, "PodDisruptionBudget"):
            selector = spec["selector"]["matchLabels"]
        elif one["kind"] == "NetworkPolicy":
            selector = spec["podSelector"]["matchLabels"]
        else:
            continue
        chosen = [name for name, own in labels if is_subset(selector, own)]
        assert chosen, f"{one['kind']} {one['metadata']['name']} selects nothing"
        if one["kind"] in WORKLOADS:
            assert chosen == [one["metadata"]["name"]]


@each_values
def test_services_lead_to_ports_that_there_are(values):
    objects = render(values)
    for service in of_kind(objects, "Service"):
        for port in service["spec"]["ports"]:
            for _, metadata, spec in pods(objects):
                if not is_subset(service["spec"]["selector"], metadata["labels"]):
                    continue
                ports = [one for container in containers(spec) for one in container.get("ports", [])]
                target = port.get("targetPort", port["port"])
                found = [one for one in ports if target in (one["name"], one["containerPort"])]
                assert [one["protocol"] for one in found] == [port["protocol"]], (service["metadata"]["name"], port)


@each_values
def test_media_is_udp_and_has_a_port_for_each_worker(values):
    for _, _, spec in pods(render(values)):
        for container in containers(spec):
            for port in container.get("ports", []):
                assert port["protocol"] == ("UDP" if "udp" in port["name"] else "TCP"), port


@each_values
def test_pods_are_restricted_but_for_what_exposure_needs(values):
    for owner, metadata, spec in pods(render(values)):
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        reasons = " ".join(value for name, value in owner["metadata"].get("annotations", {}).items() if name.startswith("checkov"))
        if spec.get("hostNetwork"):
            assert "CKV_K8S_19" in reasons and spec["dnsPolicy"] == "ClusterFirstWithHostNet"
        for container in containers(spec):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
            assert security["capabilities"]["drop"] == ["ALL"]
            assert security["capabilities"].get("add", []) == [] or "CKV_K8S_25" in reasons
            assert not any("hostPort" in port for port in container.get("ports", [])) or "CKV_K8S_26" in reasons


@each_values
def test_secrets_are_in_secrets_alone(values):
    objects = render(values)
    secret = "0123456789abcdef0123456789abcdef"
    for one in objects:
        if one["kind"] != "Secret":
            assert secret not in json.dumps(one), one["metadata"]["name"]


@each_values
def test_every_object_is_labelled_and_in_the_namespace(values):
    for one in render(values, "commonLabels.team=media"):
        labels = one["metadata"]["labels"]
        assert one["metadata"]["namespace"] == "space"
        assert labels["team"] == "media" and labels["app.kubernetes.io/instance"] == "release"


@each_values
def test_names_hold_for_long_releases(values):
    text = helm("template", "r" * 53, CHART, "--values", values)
    for name in re.findall(r"^  name: (\S+)", text, re.M):
        assert len(name) <= 63, name


def test_media_ports_are_not_declared_with_host_network():
    """Declared ports would keep a pod that drains and its successor from sharing a machine."""
    [container] = by_name(render(MINIMAL), "Deployment", "release-plenum")["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ["http", "metrics"]


def test_a_service_is_told_at_its_own_address():
    objects = render(BALANCER)
    [container] = by_name(objects, "Deployment", "release-plenum")["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["PLENUM_NODE__UDP__ADVERTISE"] == "203.0.113.10:443"
    assert env["PLENUM_NODE__TCP__ADVERTISE"] == "203.0.113.11:443"
    udp = by_name(objects, "Service", "release-plenum-udp")
    assert udp["spec"]["ports"] == [{"name": "media-udp-0", "port": 443, "protocol": "UDP", "targetPort": 7882}]
    assert udp["spec"]["externalTrafficPolicy"] == "Local" and udp["spec"]["publishNotReadyAddresses"]
    assert len(udp["metadata"]["annotations"]) == 2


def test_node_ports_are_those_told():
    objects = render(NODE_PORT)
    udp = by_name(objects, "Service", "release-plenum-udp")["spec"]["ports"]
    assert [(port["port"], port["nodePort"], port["targetPort"]) for port in udp] == [(30782, 30782, 7882), (30783, 30783, 7883)]


def test_the_machines_addresses_come_by_the_downward_api():
    def path(kubernetes):
        [container] = by_name(render(MINIMAL, kubernetes=kubernetes), "Deployment", "release-plenum")["spec"]["template"][
            "spec"]["containers"]
        [env] = [one for one in container["env"] if one["name"] == "PLENUM_NODE__DISCOVER__GIVEN"]
        return env["valueFrom"]["fieldRef"]["fieldPath"]

    assert (path("1.28.0"), path("1.29.0")) == ("status.hostIP", "status.hostIPs")


def test_one_pod_at_a_time_where_ports_and_rooms_are_one_pods():
    for values in VALUES:
        if values.name.startswith("all-in-one"):
            [deployment] = of_kind(render(values), "Deployment")
            assert deployment["spec"]["replicas"] == 1
            assert deployment["spec"]["strategy"] == {"type": "Recreate"}


CLUSTER = CHART / "ci" / "cluster-host-network-values.yaml"
DAEMON_SET = CHART / "ci" / "cluster-daemon-set-values.yaml"
CLUSTER_PORT = CHART / "ci" / "cluster-host-port-values.yaml"
CLUSTER_NODE_PORT = CHART / "ci" / "cluster-node-port-values.yaml"
CLUSTER_BALANCER = CHART / "ci" / "cluster-load-balancer-values.yaml"


def strategy(objects, kind, name):
    spec = by_name(objects, kind, name)["spec"]
    return spec.get("strategy") or spec["updateStrategy"]


def test_media_nodes_are_replaced_as_their_ports_allow():
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert strategy(render(CLUSTER, "turn.enabled=false"), "Deployment", "release-plenum-media") == surge
    assert strategy(render(DAEMON_SET), "DaemonSet", "release-plenum-media") == surge
    assert strategy(render(CLUSTER_PORT), "Deployment", "release-plenum-media")["rollingUpdate"]["maxSurge"] == 0
    assert strategy(render(CLUSTER_BALANCER), "Deployment", "release-plenum-media-1") == {"type": "Recreate"}


def test_two_control_planes_never_have_a_store_each():
    assert strategy(render(DAEMON_SET), "Deployment", "release-plenum-control-plane") == {"type": "Recreate"}
    assert strategy(render(CLUSTER), "Deployment", "release-plenum-control-plane")["rollingUpdate"]["maxSurge"] == 1


def test_a_pod_is_killed_only_after_its_program_has_ended():
    objects = render(CLUSTER, "media.drainSeconds=100", "http.shutdownGraceSeconds=7")
    spec = by_name(objects, "Deployment", "release-plenum-media")["spec"]["template"]["spec"]
    text = by_name(objects, "ConfigMap", "release-plenum-media-node")["data"]["plenum.toml"]
    assert 'drain_limit = "100s"' in text and 'shutdown_grace = "7s"' in text
    assert spec["terminationGracePeriodSeconds"] > 100 + 2 * 7


def test_autoscaling_leaves_the_number_of_pods_alone():
    for values, kind in ((CLUSTER, "ScaledObject"), (CLUSTER_PORT, "HorizontalPodAutoscaler")):
        objects = render(values)
        [scaler] = of_kind(objects, kind)
        target = by_name(objects, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]
    [scaler] = of_kind(render(CLUSTER), "ScaledObject")
    down = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}] and down["stabilizationWindowSeconds"] == 1800


def test_evictions_are_limited():
    assert {one["metadata"]["name"] for one in of_kind(render(CLUSTER), "PodDisruptionBudget")} == {
        "release-plenum-media", "release-plenum-control-plane"}
    assert not of_kind(render(MINIMAL), "PodDisruptionBudget")


def test_policies_of_a_cluster_let_in_who_must_and_no_others():
    policies = {one["metadata"]["name"]: one["spec"]["ingress"] for one in of_kind(render(CLUSTER_PORT), "NetworkPolicy")}
    component = lambda rule: [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["from"]
                              if "podSelector" in peer]
    http, metrics, nodes = policies["release-plenum"]
    assert component(http) == ["test"] and component(nodes) == ["media-node"] and "from" not in metrics
    media, control, relay, health = policies["release-plenum-media"]
    assert "from" not in media and component(control) == ["control-plane"] and "from" not in health
    assert component(relay) == ["media-node"]
    assert component(policies["release-plenum-etcd"][0]) == ["control-plane"]


def test_a_media_node_says_where_it_is_reached():
    def env(values):
        for owner, _, spec in pods(render(values)):
            if owner["metadata"]["name"].startswith("release-plenum-media"):
                return {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}

    assert env(CLUSTER)["PLENUM_CLUSTER__LISTEN"] == "$(POD_IP):0"
    assert env(CLUSTER_PORT)["PLENUM_CLUSTER__LISTEN"] == "$(POD_IP):7871"
    assert env(CLUSTER_PORT)["PLENUM_NODE__RELAY__LISTEN"] == "$(POD_IP):7873"
    assert env(CLUSTER_BALANCER)["PLENUM_CLUSTER__LISTEN"] == "[$(POD_IP)]:7871"
    assert env(CLUSTER_BALANCER)["PLENUM_NODE__UDP__ADVERTISE"] == "[2001:db8::10]:443"


def test_policies_are_made_where_they_hold():
    assert not of_kind(render(MINIMAL), "NetworkPolicy")
    [policy] = of_kind(render(HOST_PORT), "NetworkPolicy")
    http, metrics, media = policy["spec"]["ingress"]
    assert http["from"] and "from" not in media
    # Prometheus is not among those who may reach the page.
    namespace = lambda rule: rule["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert namespace(http) == "ingress-nginx" and namespace(metrics) == "monitoring"
    assert metrics["ports"] == [{"protocol": "TCP", "port": 7879}]
    assert {"protocol": "TCP", "port": 5349} in media["ports"]
    assert {"protocol": "UDP", "port": 7882, "endPort": 7883} in media["ports"]


def test_changed_settings_start_pods_anew():
    def sums(*settings):
        deployment = by_name(render(MINIMAL, *settings), "Deployment", "release-plenum")
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert sums() != sums("log.level=debug") and sums() != sums("auth.keys.other=" + "x" * 32)
    assert sums() == sums("ingress.enabled=true", "ingress.hosts={a.example.org}")


def test_a_changed_secret_of_yours_starts_the_pods_you_name_anew():
    template = lambda name, *settings: by_name(render(CLUSTER, *settings), "Deployment", name)["spec"]["template"]
    for part, name in (("controlPlane", "release-plenum-control-plane"), ("media", "release-plenum-media")):
        other = "media" if part == "controlPlane" else "controlPlane"
        assert template(name) != template(name, f"{part}.podAnnotations.secrets=two")
        assert template(name) == template(name, f"{other}.podAnnotations.secrets=two")
        # An operator that follows Secrets is told on the workload, which starts nothing anew.
        owner = by_name(render(CLUSTER, rf"{part}.annotations.example\.com/follow=yes"), "Deployment", name)
        assert owner["metadata"]["annotations"]["example.com/follow"] == "yes"
        assert owner["spec"]["template"] == template(name)


@each_values
def test_clients_do_not_get_at_metrics(values):
    """What clients reach leads to no port that serves them; Prometheus has a Service of its own."""
    objects = render(values, "metrics.serviceMonitor.enabled=true")
    for owner in of_kind(objects, "ConfigMap"):
        text = owner["data"].get("plenum.toml", "")
        assert ("prometheus_listen" in text) == ("[web]" in text)
    for service in of_kind(objects, "Service"):
        leads = [port["targetPort"] for port in service["spec"]["ports"]]
        assert ("metrics" in leads) == (service["metadata"]["name"] == "release-plenum-metrics")
    [monitor] = of_kind(objects, "ServiceMonitor")
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == ["metrics"]
    for one in of_kind(objects, "Ingress", "HTTPRoute"):
        assert "release-plenum-metrics" not in json.dumps(one)


def turn(values, owner, *settings):
    """Ports, environment and configuration of TURN in a workload."""
    objects = render(values, *settings)
    [spec] = [spec for one, _, spec in pods(objects) if one["metadata"]["name"] == owner]
    [container] = spec["containers"]
    ports = [(port["name"], port["containerPort"], port.get("hostPort")) for port in container["ports"] if "turn" in port["name"]]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    secret = [volume["secret"]["secretName"] for volume in spec["volumes"] if volume["name"] == mounts.get("/etc/plenum-turn")]
    env = {one["name"]: one for one in container["env"]}
    return objects, ports, secret, env


def test_turn_has_ports_and_a_certificate():
    objects, ports, secret, _ = turn(HOST_PORT, "release-plenum")
    assert ports == [("turn-udp", 3478, 3478), ("turn-tcp", 3478, 3478), ("turn-tls", 5349, 443)]
    assert secret == ["release-plenum-turn-tls"]
    certificate = by_name(objects, "Certificate", "release-plenum-turn")["spec"]
    assert certificate["secretName"] == secret[0] and certificate["dnsNames"] == ["turn.example.org"]
    text = by_name(objects, "ConfigMap", "release-plenum-all-in-one")["data"]["plenum.toml"]
    assert '"turns:turn.example.org:443?transport=tcp"' in text and 'tls = ["0.0.0.0:5349","[::]:5349"]' in text


def test_turn_of_a_cluster_is_told_by_control_planes():
    objects, ports, secret, env = turn(CLUSTER, "release-plenum-media")
    # Declared, so that no two pods that want them are put on one machine; they are replaced one after the other.
    assert ports == [("turn-udp", 3478, None), ("turn-tcp", 3478, None), ("turn-tls", 5349, None)]
    assert strategy(objects, "Deployment", "release-plenum-media")["rollingUpdate"]["maxSurge"] == 0
    assert secret == ["turn-example-org"]
    source = env["PLENUM_NODE__TURN__SECRET"]["valueFrom"]["secretKeyRef"]
    assert source == {"name": "plenum-turn", "key": "turn-secret"}
    _, ports, secret, env = turn(CLUSTER, "release-plenum-control-plane")
    assert not ports and not secret and env["TURN_SECRET"]["valueFrom"]["secretKeyRef"] == source
    assert "turns:turn.example.org:5349?transport=tcp" in env["PLENUM_ICE__SERVERS"]["value"]


def test_turn_has_ports_in_the_services_of_slots():
    objects, ports, _, _ = turn(CLUSTER_NODE_PORT, "release-plenum-media-1")
    assert ports == [("turn-udp", 3478, None), ("turn-tcp", 3478, None), ("turn-tls", 5349, None)]
    service = lambda name: [(port["name"], port["nodePort"], port["targetPort"])
                            for port in by_name(objects, "Service", name)["spec"]["ports"]]
    assert ("turn-udp", 30730, "turn-udp") in service("release-plenum-media-1-udp")
    assert service("release-plenum-media-1-tcp") == [("turn-tcp", 30730, "turn-tcp"), ("turn-tls", 30731, "turn-tls")]
    _, _, _, env = turn(CLUSTER_NODE_PORT, "release-plenum-control-plane")
    for url in ("turn:a.example.org:30720?transport=udp", "turns:turn.example.org:30731?transport=tcp"):
        assert url in env["PLENUM_ICE__SERVERS"]["value"]


@each_values
def test_notes_tell_which_ports_to_open(values):
    text = helm("install", "release", CHART, "--dry-run=client", "--values", values)
    notes = text.split("NOTES:")[1]
    assert re.search(r"\d+/udp|\d+-\d+/udp", notes), notes
    assert "helm test release" in notes


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_test_pod_has_a_key(values):
    [pod] = of_kind(render(values), "Pod")
    env = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
    source = env["LIVEKIT_API_SECRET"]["valueFrom"]["secretKeyRef"]
    assert source["key"] == env["LIVEKIT_API_KEY"]["value"] == "backend"
    made = [one["metadata"]["name"] for one in of_kind(render(values), "Secret")]
    assert source["name"] in made or source["name"] == "plenum-api-keys"
