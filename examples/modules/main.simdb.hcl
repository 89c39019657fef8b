# A cluster for each team, all of one shape: the module says what a team gets, this file who gets one.

variable "teams" {
  type = map(object({
    standbys = optional(number, 1)
    critical = optional(bool, false)
  }))
  default = {
    orders  = { standbys = 2, critical = true }
    reports = {}
  }
  description = "The teams, and what each needs."
}

network "lan" {}

module "team" {
  source   = "./modules/team"
  for_each = var.teams

  name     = each.key
  network  = network.lan.name
  standbys = each.value.standbys
  mode     = each.value.critical ? "sync" : "async"
}

# The archive is made after the clusters of all teams.
module "archive" {
  source     = "./modules/team"
  depends_on = [module.team]

  name     = "archive"
  network  = network.lan.name
  standbys = 0
}

output "clusters" {
  value       = { for team, it in module.team : team => it.cluster }
  description = "What the cluster of each team is called."
}

output "urls" {
  value     = { for team, it in module.team : team => it.url }
  sensitive = true
}
