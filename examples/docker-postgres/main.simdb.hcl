# A PostgreSQL primary and two standbys, as containers of a Docker Engine on this machine.
#
#   simdb apply                 makes the containers, and proves that replication works
#   simdb failover orders       lets a standby lead when the primary is lost: docker kill
#   simdb destroy               removes everything again, data included

# The engine is found where the Docker CLI finds it: DOCKER_HOST, DOCKER_CONTEXT, the current context. Another image than the official one:
# image = "registry.example.org/postgres:{version}"
provider "docker" {}

# Each container gets an address of its own, which this machine and other containers of the network reach at port 5432. The
# addresses must be free here.
network "lan" {
  subnet = "172.30.0.0/24"
}

cluster "orders" {
  network = network.lan

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

  # Names for clients on this machine: PGSERVICEFILE=.simdb/pg_service.conf psql service=orders-rw
  endpoint "rw" {
    target = "primary"
  }

  endpoint "ro" {
    target = "standby"
  }
}
