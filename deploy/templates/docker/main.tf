# SPDX-License-Identifier: Apache-2.0
# Tasks on Docker: a container per task, its home in a volume that a pause keeps.
#
# The worker's Terraform needs Docker's socket: terraform_binds = /var/run/docker.sock:rw.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.13"
    }
    docker = {
      source  = "kreuzwerker/docker"
      version = ">= 3.0"
    }
  }
}

variable "image" {
  type        = string
  description = "With a shell, one of curl, wget and busybox, and the agent that `command` names."
  default     = "debian:bookworm"
}

variable "command" {
  type        = string
  description = "The terminal agent: a line for the shell. It is talked to over AgentAPI."
  default     = "sh"
}

variable "api_key" {
  type        = string
  description = "Handed to the agent as ANTHROPIC_API_KEY; empty: none."
  sensitive   = true
  default     = ""
}

variable "gateway_host" {
  type        = string
  description = "By which containers reach this machine when the gateway's URL says localhost."
  default     = "host.docker.internal"
}

provider "docker" {}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_task" "me" {}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  dir  = "/home/agent/project"
  env = {
    AGENTAPI_STATE_FILE = "/home/agent/.agentapi-state.json"
  }
  metadata {
    key          = "load"
    display_name = "Load"
    script       = "cut -d' ' -f1 /proc/loadavg"
    interval     = 10
    timeout      = 2
  }
}

resource "coder_env" "api_key" {
  count    = nonsensitive(var.api_key != "") ? 1 : 0
  agent_id = coder_agent.main.id
  name     = "ANTHROPIC_API_KEY"
  value    = var.api_key
}

# Where it left off, after a pause; what it prints is in the agent's log.
resource "coder_script" "agent" {
  agent_id     = coder_agent.main.id
  display_name = "Agent"
  icon         = "/icon/tasks.svg"
  run_on_start = true
  script       = <<-EOT
    #!/bin/sh
    printf '%s' "$CODER_TASK_PROMPT" | exec stint-agent agentapi -- ${var.command}
  EOT
}

resource "coder_app" "agent" {
  agent_id     = coder_agent.main.id
  slug         = "agent"
  display_name = "Agent"
  url          = "http://localhost:3284/"
  healthcheck {
    url       = "http://localhost:3284/status"
    interval  = 3
    threshold = 20
  }
}

resource "coder_ai_task" "task" {
  count  = data.coder_workspace.me.start_count
  app_id = coder_app.agent.id
}

# Stays until the task is deleted.
resource "docker_volume" "home" {
  name = "stint-${data.coder_workspace.me.id}-home"
  lifecycle {
    ignore_changes = all
  }
  labels {
    label = "stint.task"
    value = data.coder_task.me.id
  }
}

# Goes with a stop: SIGINT, five minutes to put everything away, then SIGKILL.
resource "docker_container" "workspace" {
  count                 = data.coder_workspace.me.start_count
  image                 = var.image
  name                  = "stint-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}"
  hostname              = data.coder_workspace.me.name
  entrypoint            = ["sh", "-c", replace(coder_agent.main.init_script, "/localhost|127\\.0\\.0\\.1/", var.gateway_host)]
  env                   = ["CODER_AGENT_TOKEN=${coder_agent.main.token}", "HOME=/home/agent"]
  destroy_grace_seconds = 300
  stop_timeout          = 300
  stop_signal           = "SIGINT"
  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
  }
  volumes {
    container_path = "/home/agent"
    volume_name    = docker_volume.home.name
  }
  labels {
    label = "stint.task"
    value = data.coder_task.me.id
  }
}
