# A PostgreSQL primary with streaming standbys, as processes of this machine.
#
#   simdb plan      shows what would be done
#   simdb apply     does it, and proves that replication works
#   simdb status    shows how the cluster is
#   simdb psql      opens a session on the primary
#   simdb destroy   removes everything again, data included

variable "standbys" {
  type        = number
  default     = 2
  description = "How many standbys there are: simdb apply -var standbys=3"
}

# Where servers run: as processes of this machine. Programs are found in the
# usual places; name directories that come first with `binaries`.
provider "local" {}

# The network that nodes are in. On this machine that is 127.0.0.1.
network "lan" {}

cluster "main" {
  network = network.lan

  engine "postgresql" {
    # version = "15"        # absent: the newest that is found, then kept
    parameters = {
      max_connections = 50
      shared_buffers  = "32MB"
    }
  }

  replication {
    mode = "async"
  }

  # The first node becomes the primary. Ports are chosen unless given.
  node "a" {}

  node "r" {
    count = var.standbys
  }

  # Addresses that follow a role: PGSERVICEFILE=.simdb/pg_service.conf psql service=main-rw
  endpoint "rw" {
    target = "primary"
  }

  endpoint "ro" {
    target = "standby"
  }
}
