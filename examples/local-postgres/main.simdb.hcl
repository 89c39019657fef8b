# A PostgreSQL primary and two standbys, as processes of this machine.
#
#   simdb plan      shows what would be done
#   simdb apply     does it, and proves that replication works
#   simdb status    shows how the cluster is
#   simdb destroy   removes everything again, data included

# Change it in a file *.auto.simdbvars.hcl, or here and now: simdb apply -var standbys=3
variable "standbys" {
  type        = number
  default     = 2
  description = "How many standbys follow the primary"
}

# Servers are processes of this machine. Programs are found in the usual places.
provider "local" {}

# The network the nodes are in. On this machine that is 127.0.0.1, and each node gets a port; with a "subnet" such as
# "127.20.0.0/24" each gets an address of its own.
network "lan" {}

cluster "orders" {
  network = network.lan

  # No version: the newest that is found here, and from then on that one.
  engine "postgresql" {
    parameters = {
      max_connections = 50
      shared_buffers  = "32MB"
    }
  }

  # A commit is acknowledged when one standby has it, too: mode = "sync", the default where there is a standby. Others
  # are "quorum" (any of several standbys) and "async" (none).
  replication {
    max_lag = "16MB"
  }

  # The first node becomes the primary, the others follow it. Their addresses:
  # cluster.orders.node.a, cluster.orders.node.r[0], cluster.orders.node.r[1]
  node "a" {}

  node "r" {
    count = var.standbys
  }

  # Who connects, to what, and what is in it from the start.
  user "app" {}

  database "app" {
    owner = "app"
  }

  # Runs once, as the owner of the database, in one transaction.
  seed "schema" {
    database = "app"
    file     = "schema.sql"
  }

  # Names that follow a role, whichever node has it:
  # PGSERVICEFILE=.simdb/pg_service.conf psql service=orders-rw
  endpoint "rw" {
    target = "primary"

    # With Debian's package pgbouncer installed, clients can go through it, and wait while another node comes to lead:
    # via = "pgbouncer"
  }

  endpoint "ro" {
    target = "standby"
  }
}

# Where the application connects, its generated password included: simdb output -raw url
output "url" {
  value     = cluster.orders.user.app.url
  sensitive = true
}

# Shown after an apply, and by: simdb output
output "standbys" {
  value = var.standbys
}
