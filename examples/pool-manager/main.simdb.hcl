# A PostgreSQL primary and two standbys for the service, as processes of this machine.

provider "local" {}

network "lan" {}

cluster "notes" {
  network = network.lan

  engine "postgresql" {
    parameters = {
      max_connections = 50
      shared_buffers  = "32MB"
    }
  }

  # A commit is acknowledged when one of the standbys has it, too.
  replication {
    mode = "quorum"
  }

  node "a" {}

  node "r" {
    count = 2
  }

  user "app" {}

  database "app" {
    owner = "app"
  }
}

# Names all three servers; the service finds out which of them is the primary.
output "url" {
  value     = cluster.notes.user.app.url
  sensitive = true
}
