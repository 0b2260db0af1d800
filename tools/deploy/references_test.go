package deploy

import (
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// What one manifest says of another is there: pods by their labels, ports by their
// names, volumes, and what the configuration names in them.
func TestWhatTheManifestsReferToIsThere(t *testing.T) {
	m := readManifests(t)
	pod := m.deployment.Spec.Template
	container := pod.Spec.Containers[0]
	checkNamespaces(t, m)
	checkSelectors(t, m)

	ports := map[string]int32{}
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	for name, port := range portsNamed(m) {
		if port.Type != intstr.String || ports[port.StrVal] == 0 {
			t.Errorf("%s: the container has no port %s", name, port.String())
		}
	}

	file := configuration(t, m.config.Data["millrace.yaml"])
	for name, address := range map[string]string{"http": file.Listen, "admin": file.AdminListen} {
		if _, port, err := net.SplitHostPort(address); err != nil || port != strconv.Itoa(int(ports[name])) {
			t.Errorf("the server listens on %q, and the container's port %s is %d", address, name, ports[name])
		}
	}
	if scraped := pod.Annotations["prometheus.io/port"]; scraped != strconv.Itoa(int(ports["admin"])) {
		t.Errorf("scraped is port %s", scraped)
	}

	mounts := mountsOf(t, pod.Spec)
	if i := slices.Index(container.Args, "--config"); i < 0 || mounts[path.Dir(container.Args[i+1])] != "config map "+m.config.Name || m.config.Data[path.Base(container.Args[i+1])] == "" {
		t.Errorf("the arguments %q, with %v", container.Args, mounts)
	}
	if from := mounts[path.Dir(file.SecretFile)]; from != "secret millrace" || path.Base(file.SecretFile) != "secret" { // as the first line of the deployment makes it
		t.Errorf("the secret is read from %s, which is %q", file.SecretFile, from)
	}

	// The pod waits, drains, and calls have ten seconds to end.
	drains := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds)*time.Second + file.drainWindow + 10*time.Second
	if grace := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace < drains {
		t.Errorf("a pod has %v to stop, and takes up to %v", grace, drains)
	}
}

func checkNamespaces(t *testing.T, m *manifests) {
	t.Helper()
	of := map[string]string{
		"deployment": m.deployment.Namespace, "budget": m.budget.Namespace, "network policy": m.network.Namespace, "config map": m.config.Namespace,
	}
	for _, service := range m.services {
		of["service "+service.Name] = service.Namespace
	}
	for name, namespace := range of {
		if namespace != m.namespace.Name {
			t.Errorf("%s: in namespace %q, want %q", name, namespace, m.namespace.Name)
		}
	}
}

func checkSelectors(t *testing.T, m *manifests) {
	t.Helper()
	selectors := map[string]map[string]string{
		"deployment": m.deployment.Spec.Selector.MatchLabels, "budget": m.budget.Spec.Selector.MatchLabels,
		"network policy": m.network.Spec.PodSelector.MatchLabels, "spread": m.deployment.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	}
	for _, service := range m.services {
		selectors["service "+service.Name] = service.Spec.Selector
	}
	labels := m.deployment.Spec.Template.Labels
	for name, selector := range selectors {
		if len(selector) == 0 {
			t.Errorf("%s: selects everything", name)
		}
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("%s: selects %s=%s, and the pods have %v", name, key, value, labels)
			}
		}
	}
}

// portsNamed are the ports of the pods that others name.
func portsNamed(m *manifests) map[string]intstr.IntOrString {
	container := m.deployment.Spec.Template.Spec.Containers[0]
	named := map[string]intstr.IntOrString{"readiness": container.ReadinessProbe.HTTPGet.Port, "liveness": container.LivenessProbe.HTTPGet.Port}
	for _, service := range m.services {
		for _, port := range service.Spec.Ports {
			named["service "+service.Name] = port.TargetPort
		}
	}
	for _, rule := range m.network.Spec.Ingress {
		for _, port := range rule.Ports {
			named["network policy: "+port.Port.String()] = *port.Port
		}
	}
	return named
}

// mountsOf says what is at each directory of the container.
func mountsOf(t *testing.T, pod corev1.PodSpec) map[string]string {
	t.Helper()
	volumes, mounts := map[string]string{}, map[string]string{}
	for _, volume := range pod.Volumes {
		switch {
		case volume.ConfigMap != nil:
			volumes[volume.Name] = "config map " + volume.ConfigMap.Name
		case volume.Secret != nil:
			volumes[volume.Name] = "secret " + volume.Secret.SecretName
		}
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		if volumes[mount.Name] == "" {
			t.Errorf("there is no volume %s, only %v", mount.Name, slices.Collect(maps.Keys(volumes)))
		}
		mounts[mount.MountPath] = volumes[mount.Name]
	}
	return mounts
}

// configured is what the manifests have to agree with.
type configured struct {
	Listen      string `json:"listen"`
	AdminListen string `json:"admin_listen"`
	SecretFile  string `json:"secret_file"`
	DrainWindow string `json:"drain_window"`

	drainWindow time.Duration
}

func configuration(t *testing.T, text string) (c configured) {
	t.Helper()
	err := yaml.Unmarshal([]byte(text), &c)
	if err == nil {
		c.drainWindow, err = time.ParseDuration(strings.TrimSpace(c.DrainWindow))
	}
	if err != nil {
		t.Fatalf("the configuration: %v", err)
	}
	return c
}
