package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// The domain of the cluster's Services.
const domain = ".svc.cluster.local."

// Names looks up what Services are called.
type names struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// serveNames answers questions over UDP until the context ends.
func serveNames(ctx context.Context, watched informers.SharedInformerFactory, address string) error {
	n := names{watched.Core().V1().Services().Lister(), watched.Discovery().V1().EndpointSlices().Lister()}
	watched.Start(ctx.Done())
	watched.WaitForCacheSync(ctx.Done())
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		socket.Close()
	}()
	buffer := make([]byte, 4096)
	for {
		length, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return ctx.Err()
		}
		if answer, err := n.answer(buffer[:length]); err == nil {
			socket.WriteTo(answer, from)
		}
	}
}

// answer returns the response to one packet.
func (n names) answer(packet []byte) ([]byte, error) {
	var question dnsmessage.Message
	if err := question.Unpack(packet); err != nil {
		return nil, err
	}
	if len(question.Questions) != 1 {
		return nil, fmt.Errorf("%d questions", len(question.Questions))
	}
	asked := question.Questions[0]
	response := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: question.ID, Response: true, Authoritative: true, RecursionDesired: question.RecursionDesired,
			RecursionAvailable: true,
		},
		Questions: question.Questions,
	}
	addresses, known := n.addresses(asked.Name.String())
	if !known {
		response.RCode = dnsmessage.RCodeNameError
	}
	// A known name without IPv6 addresses gets an empty answer.
	if asked.Type == dnsmessage.TypeA {
		for _, address := range addresses {
			response.Answers = append(response.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Type: asked.Type, Class: asked.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: address},
			})
		}
	}
	return response.Pack()
}

// addresses returns those of NAME.NAMESPACE, or of HOST.NAME.NAMESPACE, and whether there is such a Service.
func (n names) addresses(name string) (found [][4]byte, known bool) {
	words := strings.Split(strings.TrimSuffix(strings.ToLower(name), domain), ".")
	if !strings.HasSuffix(strings.ToLower(name), domain) || len(words) < 2 || len(words) > 3 {
		return nil, false
	}
	host, named := words[0], len(words) == 3
	words = words[len(words)-2:]
	service, err := n.services.Services(words[1]).Get(words[0])
	if err != nil {
		return nil, false
	}
	if !named && service.Spec.ClusterIP != core.ClusterIPNone {
		return appendAddress(nil, service.Spec.ClusterIP), true
	}
	for _, endpoint := range n.endpoints(service) {
		if named && (endpoint.Hostname == nil || *endpoint.Hostname != host) {
			continue
		}
		for _, address := range endpoint.Addresses {
			found = appendAddress(found, address)
		}
	}
	return found, !named || len(found) > 0
}

// endpoints returns the ready ones of a Service. The controller marks those ready that are published before they are.
func (n names) endpoints(service *core.Service) (ready []discovery.Endpoint) {
	selector := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service.Name})
	slices, _ := n.slices.EndpointSlices(service.Namespace).List(selector)
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				ready = append(ready, endpoint)
			}
		}
	}
	return ready
}

func appendAddress(to [][4]byte, text string) [][4]byte {
	if address := net.ParseIP(text).To4(); address != nil {
		to = append(to, [4]byte(address))
	}
	return to
}
