package main

import (
	"context"
	"fmt"
	"log"
	"os/exec"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
)

// An enforcer turns NetworkPolicies into rules of the kernel on one node.
type enforcer struct {
	policies   networkinglisters.NetworkPolicyLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	node       string
}

// enforcePolicies loads the rules whenever they have changed, until the context ends.
//
// It knows what may reach a pod, by peers and numbered ports; rules about what a pod may reach are not enforced.
func enforcePolicies(ctx context.Context, watched informers.SharedInformerFactory, node string) error {
	policies, pods := watched.Networking().V1().NetworkPolicies(), watched.Core().V1().Pods()
	namespaces := watched.Core().V1().Namespaces()
	e := enforcer{policies.Lister(), pods.Lister(), namespaces.Lister(), node}
	changed := watch(policies.Informer(), pods.Informer(), namespaces.Informer())
	watched.Start(ctx.Done())
	watched.WaitForCacheSync(ctx.Done())
	loaded := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		rules, err := e.rules()
		if err == nil && rules != loaded {
			err = load(ctx, rules)
		}
		if err != nil {
			log.Print(err)
			later(changed)
			continue
		}
		loaded = rules
	}
}

// load replaces all rules in one step.
func load(ctx context.Context, rules string) error {
	command := exec.CommandContext(ctx, "nft", "-f", "-")
	command.Stdin = strings.NewReader(rules)
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, said)
	}
	return nil
}

// rules returns the table for all pods of the node that some policy selects.
func (e enforcer) rules() (string, error) {
	policies, err := e.policies.List(labels.Everything())
	if err != nil {
		return "", err
	}
	pods, err := e.pods.List(labels.Everything())
	if err != nil {
		return "", err
	}
	slices.SortFunc(pods, func(a, b *core.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	slices.SortFunc(policies, func(a, b *networking.NetworkPolicy) int { return strings.Compare(string(a.UID), string(b.UID)) })
	var text strings.Builder
	text.WriteString("table inet policies\ndelete table inet policies\ntable inet policies {\nchain forward {\n")
	text.WriteString("type filter hook forward priority 0\nct state established,related accept\n")
	for _, pod := range pods {
		if pod.Spec.NodeName != e.node || !hasAddress(pod) {
			continue
		}
		selected := false
		for _, policy := range policies {
			if policy.Namespace != pod.Namespace || !isIngress(policy) || !matches(&policy.Spec.PodSelector, pod.Labels) {
				continue
			}
			selected = true
			for _, rule := range policy.Spec.Ingress {
				e.writeRule(&text, policy.Namespace, pod.Status.PodIP, rule, pods)
			}
		}
		if selected {
			fmt.Fprintf(&text, "ip daddr %s drop\n", pod.Status.PodIP)
		}
	}
	text.WriteString("}\n}\n")
	return text.String(), nil
}

// writeRule lets the peers of a rule reach its ports on an address.
func (e enforcer) writeRule(text *strings.Builder, namespace, to string, rule networking.NetworkPolicyIngressRule, pods []*core.Pod) {
	sources := []string{""}
	if len(rule.From) > 0 {
		sources = nil
		for _, peer := range rule.From {
			for _, address := range e.addresses(namespace, peer, pods) {
				sources = append(sources, "ip saddr "+address+" ")
			}
		}
	}
	for _, source := range sources {
		for _, port := range ports(rule.Ports) {
			fmt.Fprintf(text, "%sip daddr %s %saccept\n", source, to, port)
		}
	}
}

// addresses returns those that a peer stands for. Exceptions of address ranges are not enforced.
func (e enforcer) addresses(namespace string, peer networking.NetworkPolicyPeer, pods []*core.Pod) (found []string) {
	if peer.IPBlock != nil {
		return []string{peer.IPBlock.CIDR}
	}
	for _, pod := range pods {
		if peer.NamespaceSelector == nil && pod.Namespace != namespace || !hasAddress(pod) {
			continue
		}
		if peer.NamespaceSelector != nil {
			of, err := e.namespaces.Get(pod.Namespace)
			if err != nil || !matches(peer.NamespaceSelector, of.Labels) {
				continue
			}
		}
		if peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels) {
			found = append(found, pod.Status.PodIP)
		}
	}
	return found
}

// ports returns what a rule says of ports, each as the kernel's rules say it. Named ports match nothing.
func ports(of []networking.NetworkPolicyPort) (found []string) {
	if len(of) == 0 {
		return []string{""}
	}
	for _, port := range of {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		name := strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			found = append(found, fmt.Sprintf("meta l4proto %s ", name))
		case port.Port.Type == intstr.Int && port.EndPort != nil:
			found = append(found, fmt.Sprintf("%s dport %d-%d ", name, port.Port.IntVal, *port.EndPort))
		case port.Port.Type == intstr.Int:
			found = append(found, fmt.Sprintf("%s dport %d ", name, port.Port.IntVal))
		}
	}
	return found
}

func isIngress(policy *networking.NetworkPolicy) bool {
	return len(policy.Spec.PolicyTypes) == 0 || slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeIngress)
}

func matches(selector *meta.LabelSelector, of map[string]string) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(of))
}

// An address of a pod that has ended may belong to another pod.
func hasAddress(pod *core.Pod) bool {
	ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended
}
