// Package deploy holds the files of deploy/ to the programs that read them, where
// those programs are not to be had: their own libraries read them, and refuse what
// they do not know.
package deploy

import (
	"os"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are those of Kubernetes, as Kustomize puts them together.
type manifests struct {
	namespace  corev1.Namespace
	deployment appsv1.Deployment
	budget     policyv1.PodDisruptionBudget
	network    networkingv1.NetworkPolicy
	config     corev1.ConfigMap
	services   []corev1.Service
}

// readManifests reads each by the API of Kubernetes, which refuses a field too many.
func readManifests(t *testing.T) *manifests {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../deploy/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	var m manifests
	seen := map[string]int{}
	for _, resource := range resources.Resources() {
		kind := resource.GetApiVersion() + " " + resource.GetKind()
		var service corev1.Service
		into := map[string]any{
			"v1 Namespace": &m.namespace, "v1 Service": &service, "v1 ConfigMap": &m.config,
			"apps/v1 Deployment": &m.deployment, "policy/v1 PodDisruptionBudget": &m.budget,
			"networking.k8s.io/v1 NetworkPolicy": &m.network,
		}[kind]
		text, err := resource.AsYAML()
		if err == nil {
			err = yaml.UnmarshalStrict(text, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if service.Name != "" {
			m.services = append(m.services, service)
		}
		seen[kind]++
	}
	if len(seen) != 6 || len(resources.Resources()) != 7 || len(m.services) != 2 {
		t.Fatalf("there are %v", seen)
	}
	return &m
}

// The pods are of the level that the namespace enforces.
func TestThePodsAreRestricted(t *testing.T) {
	m := readManifests(t)
	if level := m.namespace.Labels["pod-security.kubernetes.io/enforce"]; level != string(api.LevelRestricted) {
		t.Errorf("the namespace enforces %q", level)
	}
	checkRestricted(t, &m.deployment)
}

func checkRestricted(t *testing.T, deployment *appsv1.Deployment) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("the pods are not restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

// Envoy's own messages have every field of its configuration, and its own rules
// hold for each, in whatever it is packed.
func TestTheConfigurationIsOfTheAPIOfEnvoy(t *testing.T) {
	text, err := os.ReadFile("../../deploy/proxies/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(data, bootstrap); err != nil {
		t.Fatal(err)
	}
	if n := checkRules(t, bootstrap.ProtoReflect()); n < 20 {
		t.Errorf("only %d messages were checked", n)
	}
}

// checkRules checks a message and all that is in it, and counts them.
func checkRules(t *testing.T, message protoreflect.Message) int {
	t.Helper()
	if packed, ok := message.Interface().(*anypb.Any); ok {
		content, err := packed.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		return checkRules(t, content.ProtoReflect())
	}
	if rules, ok := message.Interface().(interface{ ValidateAll() error }); ok {
		if err := rules.ValidateAll(); err != nil {
			t.Error(err)
		}
	}
	n := 1
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		for _, part := range messagesOf(field, value) {
			n += checkRules(t, part)
		}
		return true
	})
	return n
}

// messagesOf are the messages that a field has.
func messagesOf(field protoreflect.FieldDescriptor, value protoreflect.Value) (all []protoreflect.Message) {
	switch {
	case field.IsMap():
		if field.MapValue().Message() != nil {
			value.Map().Range(func(_ protoreflect.MapKey, one protoreflect.Value) bool {
				all = append(all, one.Message())
				return true
			})
		}
	case field.Message() == nil:
	case field.IsList():
		for i := range value.List().Len() {
			all = append(all, value.List().Get(i).Message())
		}
	default:
		all = append(all, value.Message())
	}
	return all
}
