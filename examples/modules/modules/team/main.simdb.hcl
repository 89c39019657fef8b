# What a team gets: a cluster, a login that owns a database, and a URL that leads to it.

variable "name" {
  type        = string
  description = "The login and the database are called so."
}

variable "network" {
  type        = string
  description = "The network that the cluster is in."
}

variable "standbys" {
  type    = number
  default = 1

  validation {
    condition     = var.standbys >= 0 && var.standbys <= 5
    error_message = "A team gets 0 to 5 standbys, not ${var.standbys}."
  }
}

variable "mode" {
  type    = string
  default = "async"
}

cluster "main" {
  network = var.network
  primary = "a"

  engine "postgresql" {}

  dynamic "replication" {
    for_each = var.standbys > 0 ? [var.mode] : []
    content {
      mode = replication.value
    }
  }

  node "a" {}
  node "r" {
    count = var.standbys
  }

  user "owner" {
    name = var.name
  }
  database "main" {
    name  = var.name
    owner = var.name
  }
  endpoint "rw" {
    target = "primary"
  }
}

output "cluster" {
  value = cluster.main.name
}

output "url" {
  value     = cluster.main.user[var.name].url
  sensitive = true
}
