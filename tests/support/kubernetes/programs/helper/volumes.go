package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
)

const (
	// What the StorageClasses of this bed name as their provisioner.
	provisioner = "simdb.test/local"
	// The parameter of a StorageClass whose volumes hold no more than was asked for: they are in memory.
	bounded = "bounded"
	// What the scheduler writes on a claim once it knows the pod's node.
	selectedNode = "volume.kubernetes.io/selected-node"
	// Whose volume it is, as other provisioners say it, and on which node.
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	onNode        = "simdb.test/node"
)

// A provider makes and removes the volumes of one node.
type provider struct {
	client          kubernetes.Interface
	claims          corelisters.PersistentVolumeClaimLister
	volumes         corelisters.PersistentVolumeLister
	classes         storagelisters.StorageClassLister
	node, directory string
}

// provideVolumes looks at all claims and volumes whenever one has changed, until the context ends.
func provideVolumes(ctx context.Context, client kubernetes.Interface, watched informers.SharedInformerFactory, node, directory string) error {
	claims, volumes := watched.Core().V1().PersistentVolumeClaims(), watched.Core().V1().PersistentVolumes()
	p := provider{client, claims.Lister(), volumes.Lister(), watched.Storage().V1().StorageClasses().Lister(), node, directory}
	changed := watch(claims.Informer(), volumes.Informer())
	watched.Start(ctx.Done())
	watched.WaitForCacheSync(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if err := p.look(ctx); err != nil {
				log.Print(err)
				later(changed)
			}
		}
	}
}

// look makes what is claimed and missing, grows what is too small, and removes what is released.
func (p provider) look(ctx context.Context) error {
	claims, err := p.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	var problems []error
	for _, claim := range claims {
		class := p.class(claim)
		switch {
		case class == nil || claim.DeletionTimestamp != nil:
		case claim.Spec.VolumeName == "" && claim.Annotations[selectedNode] == p.node:
			problems = append(problems, p.provide(ctx, claim, class))
		case claim.Status.Phase == core.ClaimBound:
			problems = append(problems, p.grow(ctx, claim, class))
		}
	}
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, volume := range volumes {
		if p.owns(volume) && volume.DeletionTimestamp == nil && volume.Status.Phase == core.VolumeReleased &&
			volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete {
			problems = append(problems, p.remove(ctx, volume))
		}
	}
	return errors.Join(problems...)
}

// class returns the StorageClass of a claim if this program provides for it.
func (p provider) class(claim *core.PersistentVolumeClaim) *storage.StorageClass {
	if claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil || class.Provisioner != provisioner {
		return nil
	}
	return class
}

func (p provider) owns(volume *core.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == provisioner && volume.Annotations[onNode] == p.node
}

func (p provider) path(volume string) string { return filepath.Join(p.directory, volume) }

// provide makes the volume of a claim, whose name and directory follow from the claim.
func (p provider) provide(ctx context.Context, claim *core.PersistentVolumeClaim, class *storage.StorageClass) error {
	name := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil
	}
	size := claim.Spec.Resources.Requests[core.ResourceStorage]
	// A pod gets at it by its fsGroup alone.
	if err := os.MkdirAll(p.path(name), 0o755); err != nil {
		return err
	}
	if class.Parameters[bounded] == "true" {
		if err := mount(p.path(name), size, 0); err != nil {
			return err
		}
	}
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{provisionedBy: provisioner, onNode: p.node},
		},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: size},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: p.path(name)}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
				NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{{
					Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{p.node},
				}}}},
			}},
		},
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// grow does what a claim that was made larger asks for.
func (p provider) grow(ctx context.Context, claim *core.PersistentVolumeClaim, class *storage.StorageClass) error {
	asked := claim.Spec.Resources.Requests[core.ResourceStorage]
	has := claim.Status.Capacity[core.ResourceStorage]
	volume, err := p.volumes.Get(claim.Spec.VolumeName)
	if err != nil || !p.owns(volume) || asked.Cmp(has) <= 0 {
		return nil
	}
	if class.Parameters[bounded] == "true" {
		if err := mount(p.path(volume.Name), asked, unix.MS_REMOUNT); err != nil {
			return err
		}
	}
	capacity := map[string]any{"capacity": core.ResourceList{core.ResourceStorage: asked}}
	patch, err := json.Marshal(map[string]any{"spec": capacity})
	if err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, meta.PatchOptions{})
	if err != nil {
		return err
	}
	patch, err = json.Marshal(map[string]any{"status": capacity})
	if err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).
		Patch(ctx, claim.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
	return err
}

// remove removes a volume and what it holds.
func (p provider) remove(ctx context.Context, volume *core.PersistentVolume) error {
	path := p.path(volume.Name)
	if err := unix.Unmount(path, 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting %s: %w", path, err)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// mount mounts memory of a size, or changes the size of what is mounted.
func mount(path string, size resource.Quantity, flags uintptr) error {
	var found unix.Statfs_t
	if err := unix.Statfs(path, &found); err != nil {
		return err
	}
	if flags == 0 && found.Type == unix.TMPFS_MAGIC {
		return nil
	}
	options := fmt.Sprintf("size=%d,mode=0755", size.Value())
	if err := unix.Mount("simdb", path, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("mounting %s: %w", path, err)
	}
	return nil
}
