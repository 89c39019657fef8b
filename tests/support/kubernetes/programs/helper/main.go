// The test bed's own part of the cluster: a resolver of Service names, and on each node a provisioner of volumes and what enforces
// network policies.
//
//	bed-helper names KUBECONFIG ADDRESS      answers DNS questions about Services at ADDRESS
//	bed-helper volumes KUBECONFIG NODE DIR   makes and removes the volumes of NODE, which are directories in DIR
//	bed-helper policies KUBECONFIG NODE      lets the pods of NODE be reached as NetworkPolicies say
//
// Each watches the API server.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: bed-helper names|policies|volumes KUBECONFIG ...")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[2])
	if err != nil {
		log.Fatalf("the kubeconfig %s: %v", os.Args[2], err)
	}
	// Tests make and remove many volumes at once.
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatalf("a client of the API server: %v", err)
	}
	watched := informers.NewSharedInformerFactory(client, 10*time.Second)
	switch os.Args[1] {
	case "names":
		err = serveNames(ctx, watched, os.Args[3])
	case "policies":
		err = enforcePolicies(ctx, watched, os.Args[3])
	case "volumes":
		if len(os.Args) != 5 {
			log.Fatal("usage: bed-helper volumes KUBECONFIG NODE DIR")
		}
		err = provideVolumes(ctx, client, watched, os.Args[3], os.Args[4])
	default:
		log.Fatalf("bed-helper has no part called %s", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// watch returns a channel that has a value whenever something changed since it was last read.
func watch(informers ...cache.SharedIndexInformer) chan struct{} {
	changed := make(chan struct{}, 1)
	notice := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	notice()
	for _, informer := range informers {
		informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notice() },
			UpdateFunc: func(any, any) { notice() },
			DeleteFunc: func(any) { notice() },
		})
	}
	return changed
}

// later looks at everything once more, after a failure that may pass.
func later(changed chan struct{}) {
	time.AfterFunc(time.Second, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
}
