// Checks objects of other projects' kinds (JSON list on the standard input) against their definitions; prints what is
// wrong. Must not pass a kind it does not know.
import { readFileSync } from "node:fs";

const kinds = {
  "cert-manager.io/v1/Certificate": "@kubernetes-models/cert-manager/cert-manager.io/v1/Certificate",
  "gateway.networking.k8s.io/v1/HTTPRoute": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
  "keda.sh/v1alpha1/ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
  "monitoring.coreos.com/v1/PodMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  "monitoring.coreos.com/v1/PrometheusRule":
    "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  "monitoring.coreos.com/v1/ServiceMonitor":
    "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
};
let bad = 0;
for (const object of JSON.parse(readFileSync(0))) {
  const kind = `${object.apiVersion}/${object.kind}`;
  try {
    if (!kinds[kind]) throw new Error("no definition to check it against");
    const model = await import(kinds[kind]);
    new model[object.kind](object).validate();
  } catch (error) {
    console.log(`${kind} ${object.metadata?.name}: ${error.message}`);
    bad = 1;
  }
}
process.exit(bad);
