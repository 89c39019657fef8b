# A PostgreSQL primary and two standbys, as pods of a Kubernetes cluster.
#
#   simdb apply                 makes volumes, pods and services, and proves that replication works
#   simdb switchover orders     lets a standby lead, and the primary follow it
#   simdb destroy               removes everything again, data included

variable "kubeconfig" {
  description = "The kubeconfig; by default that of kubectl."
  type        = string
  default     = null
}

variable "namespace" {
  description = "The namespace, which is there already."
  type        = string
  default     = "default"
}

variable "image" {
  description = "The image of the servers, with {version} in place of the major version."
  type        = string
  default     = "postgres:{version}"
}

# What simdb may do in the namespace has to be granted to somebody who is no administrator: simdb metadata rbac
provider "kubernetes" {
  kubeconfig = var.kubeconfig
  namespace  = var.namespace
  image      = var.image
  storage    = "512MB"
}

cluster "orders" {
  engine "postgresql" {
    version = "15"
    parameters = {
      max_connections = 50
      shared_buffers  = "32MB"
    }
  }

  node "a" {}

  node "r" {
    count = 2
  }

  user "app" {}

  database "app" {
    owner = "app"
  }

  seed "schema" {
    database = "app"
    file     = "schema.sql"
  }

  # Services for clients in the cluster: orders-rw and orders-ro, port 5432.
  endpoint "rw" {
    target = "primary"
  }

  endpoint "ro" {
    target = "standby"
  }
}
