# SPDX-License-Identifier: Apache-2.0
# Tasks as plain processes of the worker's host: no engine, no sandbox; for tests and trusted machines.
#
# Terraform's built-in terraform_data and local-exec alone.  A start leaves the agent running in a
# session of its own, a stop ends it and waits, a delete takes its directory away.  The processes
# outlive Terraform, so the worker must run with terraform_sandbox = false, and only templates that
# are trusted like oneself should be pushed to it.
terraform {
  required_version = ">= 1.4"
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.13"
    }
  }
}

variable "root" {
  type        = string
  description = "Directory on the worker's host in which each task gets one of its own."
  default     = "/var/lib/stint/host"
}

variable "command" {
  type        = string
  description = "The terminal agent: a line for the shell. It is talked to over AgentAPI."
  default     = "sh"
}

data "coder_workspace" "me" {}
data "coder_task" "me" {}

locals {
  dir = "${var.root}/${data.coder_workspace.me.id}"
  # All tasks share the host's ports.
  port = 20000 + parseint(substr(sha256(data.coder_workspace.me.id), 0, 6), 16) % 20000
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  dir  = local.dir
  env = {
    AGENTAPI_PORT       = tostring(local.port)
    AGENTAPI_STATE_FILE = "${local.dir}/.agentapi-state.json"
  }
  metadata {
    key          = "disk"
    display_name = "Disk"
    script       = "du -sh . | cut -f1"
    interval     = 60
    timeout      = 10
  }
}

resource "coder_script" "agent" {
  agent_id     = coder_agent.main.id
  display_name = "Agent"
  run_on_start = true
  log_path     = "${local.dir}/.agent.log"
  script       = <<-EOT
    #!/bin/sh
    printf '%s' "$CODER_TASK_PROMPT" | exec stint-agent agentapi --type custom -- ${var.command}
  EOT
}

resource "coder_app" "agent" {
  agent_id     = coder_agent.main.id
  slug         = "agent"
  display_name = "Agent"
  url          = "http://localhost:${local.port}/"
  healthcheck {
    url       = "http://localhost:${local.port}/status"
    interval  = 3
    threshold = 20
  }
}

resource "coder_ai_task" "task" {
  count  = data.coder_workspace.me.start_count
  app_id = coder_app.agent.id
}

# Stays until the task is deleted.
resource "terraform_data" "home" {
  input = local.dir
  provisioner "local-exec" {
    command = "mkdir -p '${self.input}' && chmod 700 '${self.input}'"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "rm -rf '${self.input}'"
  }
}

# Goes with a stop.  Run a second time, it ends what the first one has left.
resource "terraform_data" "process" {
  count      = data.coder_workspace.me.start_count
  input      = local.dir
  depends_on = [terraform_data.home, coder_script.agent, coder_app.agent]
  provisioner "local-exec" {
    command = "sh '${path.module}/process.sh' start '${self.input}'"
    environment = {
      CODER_AGENT_TOKEN = coder_agent.main.token
      INIT_SCRIPT       = coder_agent.main.init_script
    }
  }
  provisioner "local-exec" {
    when    = destroy
    command = "sh '${path.module}/process.sh' stop '${self.input}'"
  }
}
