// Command validation runs the checks of the Kubernetes API server itself over rendered objects (YAML documents on the
// standard input): strict decoding, defaults, and the validation of each kind. For what needs no cluster, that is what
// `helm install --dry-run=server` would say. Kinds of other projects are passed over.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
)

func check(object runtime.Object) (field.ErrorList, error) {
	pods := corevalidation.PodValidationOptions{}
	switch it := object.(type) {
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(it, pods), nil
	case *apps.DaemonSet:
		return appsvalidation.ValidateDaemonSet(it, pods), nil
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(it, pods), nil
	case *core.Pod:
		return corevalidation.ValidatePodCreate(it, pods), nil
	case *core.Service:
		// Addresses are given by the server, and checked after that.
		it.Spec.ClusterIP, it.Spec.ClusterIPs = "None", []string{"None"}
		if it.Spec.Type != core.ServiceTypeClusterIP {
			it.Spec.ClusterIP, it.Spec.ClusterIPs = "10.96.0.10", []string{"10.96.0.10"}
		}
		it.Spec.IPFamilies = []core.IPFamily{core.IPv4Protocol}
		if it.Spec.ExternalTrafficPolicy == core.ServiceExternalTrafficPolicyLocal {
			it.Spec.HealthCheckNodePort = 32000
		}
		return corevalidation.ValidateServiceCreate(it), nil
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(it), nil
	case *core.Secret:
		return corevalidation.ValidateSecret(it), nil
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(it), nil
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(it, corevalidation.PersistentVolumeClaimSpecValidationOptions{}), nil
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(it, networkingvalidation.NetworkPolicyValidationOptions{}), nil
	case *networking.Ingress:
		return networkingvalidation.ValidateIngressCreate(it), nil
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(it, policyvalidation.PodDisruptionBudgetValidationOptions{}), nil
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(it, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1}), nil
	}
	return nil, fmt.Errorf("no checks for %T", object)
}

func main() {
	codec := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	checked, bad := 0, 0
	tell := func(what string, problem any) {
		fmt.Printf("%s: %v\n", what, problem)
		bad++
	}
	for {
		document, err := documents.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			tell("input", err)
			break
		}
		object, kind, err := codec.Decode(document, nil, nil)
		if runtime.IsMissingKind(err) || runtime.IsNotRegisteredError(err) {
			continue
		}
		if err != nil {
			tell("decoding", err)
			continue
		}
		problems, err := check(object)
		if err != nil {
			tell(kind.Kind, err)
		}
		for _, problem := range problems {
			tell(kind.Kind, problem)
		}
		checked++
	}
	fmt.Printf("%d objects checked, %d problems\n", checked, bad)
	if bad > 0 || checked == 0 {
		os.Exit(1)
	}
}
